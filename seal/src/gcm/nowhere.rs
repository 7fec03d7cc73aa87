//! The kernel on other architectures: there is none, and no value of its key either.

use crate::backend::Aead;
use crate::keys::Cipher;
use crate::limits::{NONCE_BYTES, TAG_BYTES};
use std::convert::Infallible;
use std::marker::PhantomData;

/// 64-byte vectors, which this architecture has not.
pub(crate) enum Wide {}

/// 32-byte vectors, which this architecture has not.
pub(crate) enum Narrow {}

/// A key that cannot be made.
pub(crate) struct Gcm<W> {
    never: Infallible,
    width: PhantomData<W>,
}

impl<W> Gcm<W> {
    pub(crate) fn is_supported() -> bool {
        false
    }
}

impl<W> Aead for Gcm<W> {
    /// # Panics
    /// Always.
    fn new(_: Cipher, _: &[u8]) -> Self {
        panic!("the backend was asked for on a CPU that has it not")
    }

    fn seal(&self, _: [u8; NONCE_BYTES], _: &[u8], _: &[u8], _: &mut [u8], _: &mut [u8; TAG_BYTES]) {
        match self.never {}
    }

    fn seal_in_place(&self, _: [u8; NONCE_BYTES], _: &[u8], _: &mut [u8], _: &mut [u8; TAG_BYTES]) {
        match self.never {}
    }

    fn open(&self, _: [u8; NONCE_BYTES], _: &[u8], _: &[u8], _: &[u8; TAG_BYTES], _: &mut [u8]) -> bool {
        match self.never {}
    }
}
