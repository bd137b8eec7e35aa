//! Answers that break the canonical ABI, or are too big.

use crate::{Answer, Forged, Guest, failed};

const NONSENSE: &[&str] = &["nonsense"];
const TOO_MUCH: &[&str] = &["over_limit", "nonsense"];

pub(crate) fn all() -> Vec<Forged> {
    let nowhere = |name, address: &str| failed(name, &Guest::running(address), NONSENSE);
    let answer = |name, memory| failed(name, &Guest::answering(memory), NONSENSE);
    let text = |name, bytes: &str, length| {
        let guest = Guest::answering(Answer::fail(4096, length))
            .with(&format!("(data (i32.const 4096) \"{bytes}\")"));
        failed(name, &guest, NONSENSE)
    };
    let mut all = vec![
        nowhere("an answer outside of memory", "(i32.const 0x7ffffff8)"),
        nowhere("an answer at the end of memory", "(i32.const 196600)"),
        nowhere("an answer askew", "(i32.const 1025)"),
        answer("an answer of no case", Answer::filled(9)),
        answer("an answer of ones", Answer::filled(255)),
        answer("a list outside of memory", Answer::mutations(1 << 30, 1)),
        answer(
            "a list that ends outside of memory",
            Answer::mutations(196_600, 1),
        ),
        answer("a list askew", Answer::mutations(4097, 1)),
        answer(
            "a list that wraps around",
            Answer::mutations(0xffff_fff8, 2),
        ),
        answer(
            "a list of four thousand million",
            Answer::mutations(8, u32::MAX),
        ),
        answer("a text outside of memory", Answer::fail(1 << 30, 1)),
        answer("a text of 1 GiB", Answer::fail(4096, 1 << 30)),
        answer("a text that wraps around", Answer::fail(0xffff_fff0, 0x20)),
        answer("a text longer than memory", Answer::fail(0, u32::MAX)),
        text("text that is no UTF-8", "\\ff\\fe", 2),
        text("text that ends within a character", "\\e2\\82", 2),
        text("text with an overlong form", "\\c0\\80", 2),
        text("text with half of a surrogate pair", "\\ed\\a0\\80", 3),
        text("text beyond Unicode", "\\f5\\80\\80\\80", 4),
    ];
    let memory = |pages: usize| Guest {
        memory: pages.to_string(),
        ..Guest::default()
    };
    all.push(failed(
        "a text of 10 MB",
        &Guest {
            answer: Answer::fail(0, 10_000_000),
            ..memory(200)
        },
        TOO_MUCH,
    ));
    all.push(failed(
        "a list of zeros of 10 MB",
        &Guest {
            answer: Answer::mutations(65_536, 100_000),
            ..memory(400)
        },
        TOO_MUCH,
    ));
    let realloc = |name, body: &str| {
        let guest = Guest {
            realloc: body.to_owned(),
            ..Guest::default()
        };
        failed(name, &guest, NONSENSE)
    };
    all.push(realloc(
        "an allocation outside of memory",
        "(i32.const 0x7ffffff8)",
    ));
    all.push(realloc(
        "an allocation at the end of memory",
        "(i32.const 196607)",
    ));
    all.push(realloc("an allocation askew", "(i32.const 4097)"));
    all
}
