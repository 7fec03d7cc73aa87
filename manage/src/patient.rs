//! A connection whose other end must read.
//!
//! Promises: writing that gets nowhere for as long as it may is an error, however much is waiting. Refuses nothing
//! that goes on, however slowly.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection, with a limit to how long its writing may stand still.
pub(crate) struct Patient<S> {
    inner: S,
    most: Duration,
    /// When it is over with what stands still.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(inner: S, most: Duration) -> Self {
        Self { inner, most, until: None }
    }

    /// The outcome of writing, unless that has stood still for too long.
    fn bounded<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.until = None;
            return outcome;
        }
        let most = self.most;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.bounded(outcome, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.bounded(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.bounded(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        all: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, all);
        self.bounded(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const MOST: Duration = Duration::from_millis(300);

    /// More than both ends' kernels hold.
    const BYTES: usize = 32 << 20;

    async fn write(to: &mut Patient<TcpStream>, mut left: usize) -> io::Result<()> {
        let piece = [7; 1 << 16];
        while left > 0 {
            let bytes = &piece[..left.min(piece.len())];
            left -= poll_fn(|context| Pin::new(&mut *to).poll_write(context, bytes)).await?;
        }
        Ok(())
    }

    /// Reads this much, with a rest now and then.
    async fn read_slowly(from: &mut TcpStream, mut left: usize) {
        while left > 0 {
            sleep(MOST / 100).await;
            let mut piece = vec![0; 1 << 20];
            let mut piece = ReadBuf::new(&mut piece);
            poll_fn(|context| Pin::new(&mut *from).poll_read(context, &mut piece)).await.unwrap();
            left -= piece.filled().len();
        }
    }

    #[test]
    fn one_that_does_not_read_is_an_error_and_one_that_reads_slowly_is_none() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (near, _) = listener.accept().await.unwrap();
            let mut near = Patient::new(near, MOST);
            let reads = tokio::spawn(async move {
                read_slowly(&mut far, BYTES).await;
                far
            });
            write(&mut near, BYTES).await.unwrap();
            let _far = reads.await.unwrap();
            let before = Instant::now();
            let ended = tokio::time::timeout(MOST * 30, write(&mut near, BYTES)).await.unwrap();
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(before.elapsed() >= MOST);
        });
    }
}
