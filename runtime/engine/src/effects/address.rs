//! Where requests may go: to public addresses, over TLS. A name is looked up once, and the
//! connection is made to the very address that was looked at.

use crm_model::limits::HTTP_MAX_SECONDS;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

/// Whether the address is one of the internet at large, by the registries of special-purpose
/// addresses (RFC 6890 and what followed it).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        // This network; shared by carriers; protocols; 6to4 relays; benchmarks; the rest is
        // multicast, reserved and broadcast.
        (0, ..)
            | (100, 64..=127, _)
            | (192, 0, 0)
            | (192, 88, 99)
            | (198, 18..=19, _)
            // A cloud's platform, seen from its own machines alone, in the midst of public ones.
            | (168, 63, 129)
            | (224.., ..)
    );
    !(special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

/// Of all that there is, only 2000::/3 is the internet's.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let special = match a {
        // Protocols with Teredo and others that hold an address within; documentation.
        0x2001 => b < 0x0200 || b == 0x0db8,
        // 6to4, which holds an address within.
        0x2002 => true,
        // Documentation.
        0x3fff => b < 0x1000,
        _ => false,
    };
    a & 0xe000 == 0x2000 && !special
}

/// Whether a request may go to this address on the web as it is written; names are looked up
/// later.
///
/// # Errors
/// A clause that follows what the address is of.
pub(super) fn check_url(url: &Url, private: bool) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "has a name or a password in its address; put a secret's handle into a \
                    header instead"
                .to_owned(),
        );
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err("has no host in its address".to_owned()),
    };
    let here = match address {
        Some(address) => address.is_loopback(),
        None => url.host_str() == Some("localhost"),
    };
    match url.scheme() {
        "https" => {}
        "http" if private && here => {}
        _ => return Err("does not go over https".to_owned()),
    }
    match address {
        Some(address) if !private && !is_public(address) => Err(refusal()),
        _ => Ok(()),
    }
}

fn refusal() -> String {
    "goes to a private address, which this server does not send anything to".to_owned()
}

/// Looks up names, once for each connection, and keeps the addresses that may be asked.
pub(super) struct Checked<L> {
    pub(super) private: bool,
    pub(super) look_up: L,
}

/// The addresses that the machine has for a name.
pub(super) async fn look_up(name: String) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

impl<L, F> Resolve for Checked<L>
where
    L: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        let found = (self.look_up)(name.as_str().to_owned());
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = found
                .await?
                .into_iter()
                .filter(|address| private || is_public(address.ip().to_canonical()))
                .collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// A client that follows nobody anywhere, and connects to what was looked up and checked.
pub(super) fn client<L, F>(checked: Checked<L>) -> reqwest::Result<reqwest::Client>
where
    L: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    reqwest::Client::builder()
        .user_agent(concat!("crm-pro/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .timeout(Duration::from_secs(HTTP_MAX_SECONDS))
        .dns_resolver(checked)
        .build()
}

/// A name leads to no address that may be asked.
#[derive(Debug)]
struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the name leads to private addresses alone")
    }
}

impl std::error::Error for Refused {}

/// Whether a request failed because of where it would have gone.
pub(super) fn was_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What people read of it.
pub(super) fn refused_sentence() -> String {
    format!("the request {}", refusal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn only_the_internet_is_public() {
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "168.63.129.16",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn addresses_are_looked_at_as_they_are_written() {
        let check = |url: &str, private| check_url(&Url::parse(url).unwrap(), private);
        for url in [
            "https://example.com/",
            "https://example.com:8443/x?y",
            "https://1.1.1.1/",
        ] {
            assert!(check(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://user@example.com/",
            "https://:secret@example.com/",
            "data:text/plain,x",
        ] {
            assert!(check(url, false).is_err(), "{url}");
        }
        for url in [
            "http://127.0.0.1:1/",
            "http://[::1]/",
            "http://localhost/",
            "https://10.0.0.1/",
        ] {
            assert!(check(url, true).is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
        ] {
            assert!(check(url, true).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_refused() {
        let look_up = |private| {
            let name: Name = "localhost".parse().unwrap();
            Checked { private, look_up }.resolve(name)
        };
        assert!(look_up(false).await.is_err());
        assert!(
            look_up(true)
                .await
                .unwrap()
                .all(|found| found.ip().is_loopback())
        );
    }

    #[test]
    fn no_notation_gets_an_address_through() {
        for url in HOSTILE {
            let refused = Url::parse(url).map_or(true, |url| check_url(&url, false).is_err());
            assert!(refused, "{url}");
        }
        assert!(HOSTILE.len() >= 40);
    }

    /// What would be this machine, its network or a cloud's platform, were it not looked at as
    /// browsers read it.
    const HOSTILE: [&str; 56] = [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0x7F.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://0177.0.0.01/",
        "https://127.0.0.1./",
        "https://127.255.255.254/",
        "https://%31%32%37.0.0.1/",
        "https://１２７.０.０.１/",
        "https://127。0。0。1/",
        "https://①②⑦.⓪.⓪.①/",
        "https://0/",
        "https://0.0.0.0/",
        "https://00000000000/",
        "https://[::]/",
        "https://[::1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[0000::0001]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:ffff:10.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[64:ff9b::169.254.169.254]/",
        "https://[64:ff9b:1::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2002:a9fe:a9fe::1]/",
        "https://[2001:0:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/latest/meta-data/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[100::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0251.0376.0251.0376/",
        "https://169.254.43518/",
        "https://100.100.100.200/latest/meta-data/",
        "https://168.63.129.16/machine",
        "https://192.0.0.192/opc/v2/",
        "https://10.0.0.1:8443/",
        "https://172.16.1/",
        "https://192.168.0.1#@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:443@169.254.169.254/",
        "https://127.0.0.1\\@example.com/",
        "http://example.com/",
        "gopher://127.0.0.1:6379/_PING",
        "file:///etc/passwd",
    ];

    fn answering(answers: Vec<&str>) -> impl Fn(String) -> Answering + Clone + use<> {
        let answers: Vec<SocketAddr> = answers.iter().map(|one| one.parse().unwrap()).collect();
        move |_| std::future::ready(Ok(answers.clone()))
    }

    type Answering = std::future::Ready<std::io::Result<Vec<SocketAddr>>>;

    #[tokio::test]
    async fn of_the_addresses_of_a_name_the_public_ones_are_asked() {
        let asked = async |answers: Vec<&str>| {
            let checked = Checked {
                private: false,
                look_up: answering(answers),
            };
            let found = checked.resolve("rebind.example".parse().unwrap()).await;
            found.map(|found| found.map(|one| one.ip().to_string()).collect::<Vec<_>>())
        };
        let mixed = vec!["127.0.0.1:0", "1.1.1.1:0", "[::ffff:10.0.0.1]:0", "[::1]:0"];
        assert_eq!(asked(mixed).await.unwrap(), ["1.1.1.1"]);
        for private in [
            "169.254.169.254:0",
            "[::ffff:169.254.169.254]:0",
            "[fd00::1]:0",
        ] {
            let refused = asked(vec![private]).await.unwrap_err();
            assert!(refused.is::<Refused>(), "{private}");
        }
    }

    /// Whoever answers for a name may answer something else a moment later: nobody asks then.
    #[tokio::test]
    async fn a_name_is_looked_up_once_for_each_connection() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let look_up = move |_| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            let address = if first { "127.0.0.1:0" } else { "127.0.0.9:0" };
            std::future::ready(Ok(vec![address.parse().unwrap()]))
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let private = true;
        let client = client(Checked { private, look_up }).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = [0; 1_024];
            while stream.read(&mut request).await.unwrap() > 0 {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
        });
        for _ in 0..2 {
            let url = format!("http://rebind.example:{port}/");
            let answer = client.get(url).send().await.unwrap();
            assert_eq!(answer.remote_addr().unwrap().ip().to_string(), "127.0.0.1");
            assert_eq!(answer.text().await.unwrap(), "ok");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
