//! The seed that hash maps ask for inside a guest. A guest has no randomness, so it is a constant
//! and the same input gives the same output. It is not a secret, and nothing here needs one.
//!
//! Used where guests are built with `--cfg getrandom_backend="custom"`, as `crm-plugin-build`
//! does.

/// Fills `length` bytes from `destination` on.
///
/// # Safety
/// `getrandom` calls it with memory that it owns and that has that length.
#[allow(
    unsafe_code,
    reason = "the symbol and its raw buffer are getrandom's interface"
)]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    const SEED_BYTE: u8 = 0x5a;
    // SAFETY: the caller owns `length` writable bytes from `destination` on.
    unsafe { std::ptr::write_bytes(destination, SEED_BYTE, length) };
    Ok(())
}
