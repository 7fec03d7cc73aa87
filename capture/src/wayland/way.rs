//! The ways of copying a screen that compositors know, and the choice between them.

use std::fmt;

use wayland_client::QueueHandle;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_protocols::ext::image_capture_source::v1::client::ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1;
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1;

use super::delivery::Delivery;
use super::image_copy::ImageCopy;
use super::screen::Screen;
use super::screencopy::Screencopy;
use crate::Diagnosis;

/// A protocol by which a compositor copies its screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ext-image-copy-capture-v1, the one that compositors of all kinds have agreed upon.
    ImageCopyCapture,
    /// wlr-screencopy-unstable-v1, version 3: what those made of wlroots had before.
    Screencopy,
}

impl Protocol {
    /// What has to be announced for it.
    fn global(self) -> &'static str {
        match self {
            Self::ImageCopyCapture => "ext_image_copy_capture_manager_v1",
            Self::Screencopy => "zwlr_screencopy_manager_v1 version 3",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageCopyCapture => "ext-image-copy-capture",
            Self::Screencopy => "wlr-screencopy",
        })
    }
}

/// What the compositor has announced for copying.
#[derive(Debug, Default)]
pub(super) struct Managers {
    pub(super) sources: Option<ExtOutputImageCaptureSourceManagerV1>,
    pub(super) image_copy: Option<ExtImageCopyCaptureManagerV1>,
    pub(super) screencopy: Option<ZwlrScreencopyManagerV1>,
}

/// The way that is used.
#[derive(Debug)]
pub(super) enum Way {
    ImageCopy(ImageCopy),
    Screencopy(Screencopy),
}

/// The managers of one protocol.
#[derive(Debug)]
pub(super) enum Chosen<'a> {
    ImageCopy(&'a ExtOutputImageCaptureSourceManagerV1, &'a ExtImageCopyCaptureManagerV1),
    Screencopy(&'a ZwlrScreencopyManagerV1),
}

impl Managers {
    /// Those of the `wanted` protocol, or of the first of the two that is there.
    pub(super) fn choose(&self, wanted: Option<Protocol>) -> Result<Chosen<'_>, Diagnosis> {
        let wants = |protocol| wanted.is_none_or(|wanted| wanted == protocol);
        match (&self.screencopy, &self.sources, &self.image_copy) {
            // First, since it lets two copies be on their way: on a busy machine no refresh is missed between them.
            (Some(manager), _, _) if wants(Protocol::Screencopy) => Ok(Chosen::Screencopy(manager)),
            (_, Some(sources), Some(manager)) if wants(Protocol::ImageCopyCapture) => {
                Ok(Chosen::ImageCopy(sources, manager))
            }
            _ => Err(Diagnosis::GlobalMissing { missing: wanted.map_or(EITHER, Protocol::global) }),
        }
    }
}

impl Way {
    /// Opens `output`.
    pub(super) fn open(chosen: &Chosen<'_>, output: WlOutput, queue: &QueueHandle<Screen>) -> Self {
        match chosen {
            Chosen::ImageCopy(sources, manager) => {
                Self::ImageCopy(ImageCopy::open(sources, manager, &output, queue))
            }
            Chosen::Screencopy(manager) => Self::Screencopy(Screencopy::open((*manager).clone(), output)),
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::ImageCopy(_) => Protocol::ImageCopyCapture,
            Self::Screencopy(_) => Protocol::Screencopy,
        }
    }

    /// Asks for copies until enough are on their way.
    pub(super) fn top_up(&mut self, delivery: &mut Delivery, queue: &QueueHandle<Screen>) {
        match self {
            Self::ImageCopy(copy) => copy.top_up(delivery, queue),
            Self::Screencopy(copy) => copy.top_up(queue),
        }
    }

    /// The request that the compositor has not answered; none where it has all that it needs for a copy.
    pub(super) fn unanswered(&self) -> Option<&'static str> {
        match self {
            Self::ImageCopy(copy) => copy.unanswered(),
            Self::Screencopy(copy) => copy.unanswered(),
        }
    }
}

/// What is missing where there is neither.
const EITHER: &str = "ext_image_copy_capture_manager_v1 and no zwlr_screencopy_manager_v1 version 3";
