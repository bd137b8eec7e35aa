//! One TLS provider, ring, for everything that this process asks over HTTPS.

/// Chooses it. Harmless a second time; a client made before the first panics.
pub fn install() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
