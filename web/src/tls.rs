//! Certificates for HTTPS and RTMPS, read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One certificate chain with its key.
pub(crate) struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    protocols: Vec<Vec<u8>>,
    current: ArcSwap<rustls::ServerConfig>,
}

impl Certificates {
    /// Reads both files. `protocols` are offered by ALPN.
    pub(crate) fn load(cert: &Path, key: &Path, protocols: &[&str]) -> anyhow::Result<Arc<Self>> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let current = ArcSwap::from_pointee(read(cert, key, &protocols)?);
        Ok(Arc::new(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            protocols,
            current,
        }))
    }

    /// An acceptor with the certificate of this moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// The configuration of this moment.
    pub(crate) fn config(&self) -> Arc<rustls::ServerConfig> {
        self.current.load_full()
    }

    /// Reads the files again whenever one has changed; a pair that does not fit is reported, and the old one stays.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut seen = self.modified();
        let mut ticks = tokio::time::interval(LOOK_AGAIN);
        loop {
            ticks.tick().await;
            let now = self.modified();
            if now == seen {
                continue;
            }
            seen = now;
            match read(&self.cert, &self.key, &self.protocols) {
                Ok(config) => {
                    self.current.store(Arc::new(config));
                    tracing::info!(cert = %self.cert.display(), "certificate read again");
                }
                Err(error) => tracing::error!("the changed certificate cannot be used, the old one stays: {error:#}"),
            }
        }
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.cert, &self.key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
    }
}

fn read(cert: &Path, key: &Path, protocols: &[Vec<u8>]) -> anyhow::Result<rustls::ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("certificate {}", cert.display()))?;
    let key_der = PrivateKeyDer::from_pem_file(key).with_context(|| format!("private key {}", key.display()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}
