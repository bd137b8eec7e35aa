//! Components that no toolchain would write: forged binaries, absurd declarations, broken answers,
//! code that never ends. Each stands under the name of its misdeed beside the way in which the
//! sandbox has to contain it. Those that only misuse the host's interfaces are written in Rust and
//! stand beside this crate.
//!
//! The shape of the exports is read from the contract, so a change of the contract changes the
//! guests. Nothing here compiles or runs a guest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests are made of may fail loudly"
)]

mod answers;
mod binaries;
mod calls;
mod contract;
mod declarations;
mod flips;
mod guest;

pub use contract::Answer;
pub use declarations::compile_bomb;
pub use flips::flipped;
pub use guest::{Guest, with_section};

/// How the sandbox contains a guest. The names are codes of its failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contained {
    /// Not loaded, for one of these reasons.
    Refused(&'static [&'static str]),
    /// Loaded; the call fails for one of these reasons.
    Failed(&'static [&'static str]),
    /// Loaded and answers, or is refused as too expensive: it does no harm either way.
    Harmless,
}

/// One misdeed.
#[derive(Clone, Debug)]
pub struct Forged {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub contained: Contained,
}

/// Every misdeed there is. Names are unique.
pub fn all() -> Vec<Forged> {
    let mut all = binaries::all();
    all.extend(declarations::all());
    all.extend(calls::all());
    all.extend(answers::all());
    all
}

fn refused(name: &'static str, bytes: Vec<u8>, codes: &'static [&'static str]) -> Forged {
    Forged {
        name,
        bytes,
        contained: Contained::Refused(codes),
    }
}

fn failed(name: &'static str, guest: &Guest, codes: &'static [&'static str]) -> Forged {
    Forged {
        name,
        bytes: guest.component(),
        contained: Contained::Failed(codes),
    }
}

fn harmless(name: &'static str, guest: &Guest) -> Forged {
    Forged {
        name,
        bytes: guest.component(),
        contained: Contained::Harmless,
    }
}
