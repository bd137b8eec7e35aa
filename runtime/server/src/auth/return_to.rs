//! Where a login leads to: a path of this server, whatever else somebody writes into a link.

use crm_model::limits::RETURN_TO_MAX_CHARACTERS;
use reqwest::Url;

/// The page that says who is logged in.
pub(crate) const ACCOUNT: &str = "/auth/account";

/// The path that was asked for, where it is one of this server; else the account's.
pub(crate) fn return_to(wanted: Option<&str>) -> String {
    let wanted = wanted.filter(|path| !path.is_empty());
    let path = wanted.map_or(Some(ACCOUNT.to_owned()), local_path);
    path.unwrap_or_else(|| ACCOUNT.to_owned())
}

/// A path as browsers would understand it: one slash, no backslash, nothing that they drop or
/// read otherwise, and on any server a path of that server.
fn local_path(path: &str) -> Option<String> {
    let plain = |letter: char| letter.is_ascii_graphic() && letter != '\\';
    let good = path.len() <= RETURN_TO_MAX_CHARACTERS
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.chars().all(plain);
    let base: Url = "http://crm.invalid/".parse().ok()?;
    let url = base.join(path).ok().filter(|_| good)?;
    let same = url.origin() == base.origin();
    let path = url.as_str().strip_prefix("http://crm.invalid")?;
    // A path that dots were taken out of may begin with two slashes by now.
    (same && !path.starts_with("//")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_but_to_a_path_of_this_server() {
        for path in [
            "/",
            "/records/patients?q=a&b=%2F#top",
            "/a/b;c",
            "/%2f%2fevil.example",
        ] {
            assert_eq!(return_to(Some(path)), path);
        }
        let long = format!("/{}", "a".repeat(RETURN_TO_MAX_CHARACTERS));
        for path in [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "HTTPS:evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "evil.example",
            "@evil.example",
            ".evil.example",
            " /",
            "/..//evil.example",
            "/.//evil.example",
            "/a/../..//evil.example",
            "/%2e%2e//evil.example",
            "/ä",
            "",
            &long,
        ] {
            assert_eq!(return_to(Some(path)), ACCOUNT, "{path}");
        }
        assert_eq!(return_to(None), ACCOUNT);
        assert_eq!(return_to(Some(&long[1..])), ACCOUNT);
        assert_eq!(
            return_to(Some(&long[..RETURN_TO_MAX_CHARACTERS])),
            &long[..RETURN_TO_MAX_CHARACTERS]
        );
    }
}
