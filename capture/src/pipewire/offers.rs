//! What a node offers, in words: asked for at once, told where no format is agreed on.
//!
//! Promises: at most [`STREAM_OFFERS_MAX`] offers with [`STREAM_OFFER_FORMATS_MAX`] formats each are read, whatever a node
//! sends; a read ends within the bytes that came. Refuses nothing: what is no offer of pictures is left out.

use std::cell::RefCell;
use std::rc::Rc;

use pipewire::node::{Node, NodeListener};
use pipewire::permissions::PermissionFlags;
use pipewire::properties::PropertiesBox;
use pipewire::registry::{GlobalObject, RegistryRc};
use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::MediaSubtype;
use pipewire::spa::param::video::VideoFormat;
use pipewire::spa::pod::Pod;
use pipewire::spa::sys;
use pipewire::types::ObjectType;

use super::params::FORMATS;
use super::pod::{Property, word};
use crate::limits::{STREAM_OFFER_FORMATS_MAX, STREAM_OFFERS_MAX};

/// What a node was heard to offer, as long as it is listened to.
pub(super) struct Offers {
    heard: Rc<RefCell<Vec<String>>>,
    _listener: NodeListener,
    _node: Node,
}

impl Offers {
    /// Asks node `id`, and listens.
    pub(super) fn ask(registry: &RegistryRc, id: u32) -> Result<Self, pipewire::Error> {
        let permissions = PermissionFlags::R | PermissionFlags::X;
        let type_ = ObjectType::Node;
        let version = pipewire::sys::PW_VERSION_NODE;
        let node: Node =
            registry.bind(&GlobalObject::<PropertiesBox> { id, permissions, type_, version, props: None })?;
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = Rc::clone(&heard);
        let listener = node
            .add_listener_local()
            .param(move |_, kind, _, _, pod| {
                let offer = pod.filter(|_| kind == ParamType::EnumFormat).map(Pod::as_bytes).and_then(words);
                note(&mut hears.borrow_mut(), offer);
            })
            .register();
        node.enum_params(0, Some(ParamType::EnumFormat), 0, STREAM_OFFERS_MAX);
        Ok(Self { heard, _listener: listener, _node: node })
    }

    /// All of them in one line.
    pub(super) fn words(&self) -> String {
        let heard = self.heard.borrow();
        let offers = if heard.is_empty() { "it has not told what".to_owned() } else { heard.join(", ") };
        format!("it offers {offers}; only {} are read, from memory that the CPU can read", readable())
    }
}

fn note(heard: &mut Vec<String>, offer: Option<String>) {
    if let Some(offer) = offer
        && heard.len() < STREAM_OFFERS_MAX as usize
        && !heard.contains(&offer)
    {
        heard.push(offer);
    }
}

fn readable() -> String {
    FORMATS.map(|format| format_name(format.as_raw())).join(", ")
}

fn format_name(id: u32) -> String {
    let name = format!("{:?}", VideoFormat::from_raw(id));
    match name.strip_prefix("VideoFormat::") {
        Some(name) => name.to_owned(),
        None => format!("format {id}"),
    }
}

/// An offer of pictures, a pod with its head.
fn words(pod: &[u8]) -> Option<String> {
    let (mut formats, mut size, mut needs_gpu) = (Vec::new(), String::new(), false);
    for Property { key, flags, value } in Property::all_of(pod, sys::SPA_TYPE_OBJECT_Format)? {
        match key {
            sys::SPA_FORMAT_mediaSubtype => {
                let raw = MediaSubtype::Raw.as_raw();
                if let Some(other) = value.ids().next().filter(|id| *id != raw) {
                    return Some(format!("{:?} instead of raw pictures", MediaSubtype::from_raw(other)));
                }
            }
            sys::SPA_FORMAT_VIDEO_format => {
                for id in value.ids() {
                    if formats.len() < STREAM_OFFER_FORMATS_MAX && !formats.contains(&id) {
                        formats.push(id);
                    }
                }
            }
            sys::SPA_FORMAT_VIDEO_size => {
                let first = value.choices(sys::SPA_TYPE_Rectangle, 8).next();
                if let Some((width, height)) = first.and_then(|size| word(size, 0).zip(word(size, 4))) {
                    size = format!(" {width}x{height}");
                }
            }
            sys::SPA_FORMAT_VIDEO_modifier => needs_gpu = flags & sys::SPA_POD_PROP_FLAG_MANDATORY != 0,
            _ => {}
        }
    }
    let names: Vec<String> = formats.into_iter().map(format_name).collect();
    let place = if needs_gpu { " in a GPU's memory" } else { "" };
    (!names.is_empty()).then(|| format!("{}{size}{place}", names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::pipewire::params::{self, Buffers, Param, Size};
    use proptest::prelude::*;

    /// What we ask for is of the same shape as what a node offers.
    fn asked(dmabufs: &[(u32, Vec<u64>)]) -> Param {
        params::formats(Mode::new(1280, 720, 60_000).unwrap(), Size::Theirs, dmabufs).remove(0)
    }

    fn bytes(param: &Param) -> Vec<u8> {
        param.pod().unwrap().as_bytes().to_vec()
    }

    #[test]
    fn an_offer_is_told_by_its_formats_its_size_and_its_memory() {
        assert_eq!(words(&bytes(&asked(&[]))).unwrap(), "BGRx/BGRA/RGBx/RGBA 1280x720");
        let gpu = words(&bytes(&asked(&[(u32::from_le_bytes(*b"XR24"), vec![0])]))).unwrap();
        assert_eq!(gpu, "BGRx 1280x720 in a GPU's memory");
        assert_eq!(words(&bytes(&params::buffers(Buffers::Shared).remove(0))), None);
        assert_eq!(format_name(VideoFormat::NV12.as_raw()), "NV12");
        assert_eq!(format_name(4_000_000_000), "format 4000000000");
    }

    #[test]
    fn no_more_is_told_than_somebody_reads() {
        let mut heard = Vec::new();
        for number in 0..2 * STREAM_OFFERS_MAX {
            for _ in 0..2 {
                note(&mut heard, Some(number.to_string()));
            }
        }
        assert_eq!(heard.len(), STREAM_OFFERS_MAX as usize);
        // A choice of a thousand formats, each another one.
        let ids = (1..=1000_u32).flat_map(u32::to_ne_bytes);
        let choice = [16 + 4000, sys::SPA_TYPE_Choice, sys::SPA_CHOICE_Enum, 0, 4, sys::SPA_TYPE_Id];
        let property = [sys::SPA_FORMAT_VIDEO_format, 0].into_iter().chain(choice);
        let head = [8 + 32 + 4000, sys::SPA_TYPE_Object, sys::SPA_TYPE_OBJECT_Format, 0];
        let pod: Vec<u8> = head.into_iter().chain(property).flat_map(u32::to_ne_bytes).chain(ids).collect();
        let told = words(&pod).unwrap();
        assert_eq!(told.split('/').count(), STREAM_OFFER_FORMATS_MAX, "{told}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_tell_much(
            cut in 0usize..400, bent in prop::collection::vec((0usize..400, any::<u32>()), 0..4), noise: Vec<u8>,
        ) {
            let mut pod = bytes(&asked(&[(u32::from_le_bytes(*b"XR24"), vec![0, 1, 2])]));
            for (at, value) in bent {
                let at = at / 4 * 4 % pod.len();
                pod[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            }
            pod.truncate(cut);
            for pod in [pod, noise] {
                prop_assert!(words(&pod).is_none_or(|told| told.len() < 400));
            }
        }
    }
}
