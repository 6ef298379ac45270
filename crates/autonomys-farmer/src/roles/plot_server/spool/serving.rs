//! The spool as the data plane sees it: sectors by ranges, and the acknowledgement that ends them.

use super::writing::forget;
use super::{Spool, SpooledSector};
use autonomys_transfer::error::ErrorCode;
use autonomys_transfer::{OpenSector, Refusal, SectorKey, SectorSource};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

impl Spool {
    pub(super) fn open_sector(&self, key: &SectorKey) -> Result<SpoolFile, Refusal> {
        let sector = self.get(key).ok_or_else(|| Refusal::sector_not_found(key))?;
        let file = File::open(sector.place(&self.directory).sector())
            .map_err(|error| Refusal::new(ErrorCode::Internal, format!("{key} cannot be opened: {error}")))?;
        Ok(SpoolFile {
            file: Arc::new(file),
            sector,
        })
    }
}

/// An open sector of the spool.
pub(super) struct SpoolFile {
    file: Arc<File>,
    sector: SpooledSector,
}

impl OpenSector for SpoolFile {
    fn len(&self) -> u64 {
        self.sector.length()
    }

    fn read(&self, offset: u64, length: usize) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let file = Arc::clone(&self.file);
        let delivery = Arc::clone(&self.sector.delivery);
        Box::pin(async move {
            let read = move || {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset)?;
                forget(&file, offset, length as u64);
                delivery.reached(offset + length as u64);
                Ok::<_, std::io::Error>(Bytes::from(bytes))
            };
            let failed = |reason: String| {
                Refusal::new(
                    ErrorCode::Internal,
                    format!("the sector cannot be read: {reason}"),
                )
            };
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error.to_string()))
        })
    }
}

/// What the data plane is given.
pub(in super::super) struct SpoolSectors(pub(in super::super) Arc<Spool>);

impl SectorSource for SpoolSectors {
    fn open(&self, key: SectorKey) -> BoxFuture<'static, Result<Arc<dyn OpenSector>, Refusal>> {
        let spool = Arc::clone(&self.0);
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || spool.open_sector(&key)).await;
            let opened = opened.map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))??;
            Ok(Arc::new(opened) as Arc<dyn OpenSector>)
        })
    }

    fn acknowledge(&self, key: SectorKey) -> BoxFuture<'static, Result<(), Refusal>> {
        let spool = Arc::clone(&self.0);
        Box::pin(async move {
            let failed = |reason: String| Refusal::new(ErrorCode::Internal, reason);
            tokio::task::spawn_blocking(move || spool.remove(&key))
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(format!("{error:#}")))
        })
    }
}
