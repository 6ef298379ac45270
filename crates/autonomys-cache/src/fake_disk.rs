//! A disk in memory for tests.

use crate::storage::Storage;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

/// A file in memory that can be told to fail, or to die after some number of bytes written.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(pub(crate) Arc<Mutex<FakeState>>);

#[derive(Default)]
pub(crate) struct FakeState {
    pub(crate) bytes: Vec<u8>,
    /// Bytes that may still be written; the write that exceeds them is torn there and everything after fails.
    pub(crate) budget: Option<usize>,
    pub(crate) error: Option<io::ErrorKind>,
    pub(crate) read_error: Option<io::ErrorKind>,
}

impl FakeDisk {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(FakeState {
            bytes,
            ..FakeState::default()
        })))
    }

    /// The disk as a new start finds it.
    pub(crate) fn survivor(&self) -> Self {
        Self(Arc::new(Mutex::new(FakeState {
            bytes: self.0.lock().bytes.clone(),
            ..FakeState::default()
        })))
    }
}

impl Storage for FakeDisk {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.0.lock();
        if let Some(kind) = state.read_error {
            return Err(kind.into());
        }
        let start = offset as usize;
        buffer.copy_from_slice(
            state
                .bytes
                .get(start..start + buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?,
        );
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        if let Some(kind) = state.error {
            return Err(kind.into());
        }
        let start = offset as usize;
        let length = state.budget.map_or(bytes.len(), |budget| budget.min(bytes.len()));
        state.bytes[start..start + length].copy_from_slice(&bytes[..length]);
        if let Some(budget) = &mut state.budget {
            *budget -= length;
        }
        if length < bytes.len() {
            state.error = Some(io::ErrorKind::Other);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().error.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        self.0.lock().bytes.resize(length as usize, 0);
        Ok(())
    }
}
