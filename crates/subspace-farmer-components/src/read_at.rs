//! How sectors are reached: positioned reads from memory, a file, or anything else.

use std::io;
use std::sync::Arc;

/// Something that can be read at any offset, from several threads at once, without a cursor.
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when it ends before the buffer is full, otherwise what the system says.
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Fills `chunks[i]` with the 32 bytes from `offsets[i]` on; offsets ascend. The default reads one after the other; a
    /// source that can keep many reads in flight, or that reads whole pages anyway, does better.
    ///
    /// # Errors
    /// As [`Self::read_into`]; also when there are not as many offsets as chunks.
    fn read_chunks(&self, offsets: &[u64], chunks: &mut [[u8; 32]]) -> io::Result<()> {
        if offsets.len() != chunks.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} offsets given for {} chunks", offsets.len(), chunks.len()),
            ));
        }
        for (&offset, chunk) in offsets.iter().zip(chunks) {
            self.read_into(offset, chunk)?;
        }
        Ok(())
    }
}

impl ReadAt for [u8] {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let source = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!(
                        "there are only {} bytes, {} bytes at offset {offset} were wanted",
                        self.len(),
                        buffer.len()
                    ),
                )
            })?;
        buffer.copy_from_slice(source);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_into(offset, buffer)
    }
}

#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_into(offset, buffer)
    }

    fn read_chunks(&self, offsets: &[u64], chunks: &mut [[u8; 32]]) -> io::Result<()> {
        (**self).read_chunks(offsets, chunks)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_into(offset, buffer)
    }

    fn read_chunks(&self, offsets: &[u64], chunks: &mut [[u8; 32]]) -> io::Result<()> {
        (**self).read_chunks(offsets, chunks)
    }
}

/// A part of something larger, such as one sector of a plot file: offset 0 is byte `start` of the whole.
#[derive(Debug, Clone, Copy)]
pub struct Section<T> {
    whole: T,
    start: u64,
}

impl<T: ReadAt> Section<T> {
    /// The part of `whole` from `start` on.
    pub fn new(whole: T, start: u64) -> Self {
        Self { whole, start }
    }

    fn absolute(&self, offset: u64) -> io::Result<u64> {
        self.start
            .checked_add(offset)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the offset does not fit 64 bits"))
    }
}

impl<T: ReadAt> ReadAt for Section<T> {
    fn read_into(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.whole.read_into(self.absolute(offset)?, buffer)
    }

    fn read_chunks(&self, offsets: &[u64], chunks: &mut [[u8; 32]]) -> io::Result<()> {
        let offsets = offsets
            .iter()
            .map(|&offset| self.absolute(offset))
            .collect::<Result<Vec<_>, _>>()?;
        self.whole.read_chunks(&offsets, chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &dyn ReadAt) {
        let mut buffer = [0; 3];
        source.read_into(7, &mut buffer).unwrap();
        assert_eq!(buffer, [7, 8, 9]);
        let mut chunks = [[0; 32]; 2];
        source.read_chunks(&[1, 60], &mut chunks).unwrap();
        assert_eq!([chunks[0][0], chunks[0][31], chunks[1][0]], [1, 32, 60]);
        for offset in [98, 100, u64::MAX] {
            let error = source.read_into(offset, &mut buffer).unwrap_err();
            assert!(matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
            ));
        }
        assert_eq!(
            source.read_chunks(&[1], &mut chunks).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn all_sources_read_alike() {
        let bytes: Vec<u8> = (0..100).collect();
        check(&bytes);
        check(&bytes.as_slice());
        check(&Arc::new(bytes.clone()));
        let shifted = [vec![255; 13], bytes.clone()].concat();
        check(&Section::new(&shifted, 13));

        let path = std::env::temp_dir().join(format!("subspace-read-at-{}", std::process::id()));
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        check(&file);
    }
}
