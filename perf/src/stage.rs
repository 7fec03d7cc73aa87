//! The stages whose time is measured, the sums across them, and how far pictures lie apart.
//!
//! One closed list for both ends, so that a log's tags, a summary's keys and a report's columns are
//! the same words. A stage that an end does not have simply has no samples there.

/// A step of the pipeline, a sum of steps, or a distance between pictures, that has a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The compositor's stamp (or the request) to the picture in our hands.
    Capture,
    /// Making a picture the encoder's: import or colour conversion.
    Import,
    /// A GPU's conversion, by the GPU's own stamps.
    Convert,
    /// The call that gives the picture to the encoder.
    Submit,
    /// Picture in until one slice could be read.
    SliceReady,
    /// Picture in, last slice out.
    Encode,
    /// How long the encoder's output memory was locked.
    Lock,
    /// A slice could be read until the next stage has it.
    HandOver,
    /// Parity of the FEC blocks of one access unit.
    Fec,
    /// Sealing the datagrams of one access unit.
    Seal,
    /// Waiting for departure times, all trains of one access unit together.
    Pace,
    /// How much later than its departure time a train that waited was handed to the kernel.
    PaceError,
    /// The system calls that send one access unit.
    Send,
    /// An access unit's first datagram taken from the socket until its last needed one was: the network, and the
    /// sender's pacing.
    Receive,
    /// Opening and placing the datagrams of one batch, recovery by FEC included.
    Open,
    /// An access unit's last needed datagram taken from the socket until the access unit was whole and handed on.
    Reassemble,
    /// Access unit in, picture out.
    Decode,
    /// Decoded until handed to its sink (screen, file).
    Present,
    /// An access unit's first datagram left until its last slice could be read: how long it was on its way before it was
    /// finished.
    Overlap,
    /// Sum: captured until its last datagram was handed to the kernel.
    CaptureToSent,
    /// Sum across both ends: captured until the access unit was whole.
    CaptureToReassembled,
    /// Sum across both ends: captured until decoded.
    CaptureToDecoded,
    /// [`Stage::CaptureToReassembled`] of IDR pictures alone.
    IdrToReassembled,
    /// [`Stage::CaptureToDecoded`] of IDR pictures alone.
    IdrToDecoded,
    /// Between the captures of two pictures, whatever became of them: those that were passed over between two encoded ones
    /// have an equal part of the time each. A picture that is encoded again has no capture of its own.
    CaptureInterval,
    /// Between two pictures that came out of the decoder.
    DecodeInterval,
}

impl Stage {
    /// Every stage, in the order of a picture's way; `ALL[stage.index()] == stage`.
    pub const ALL: [Stage; Stage::COUNT] = [
        Stage::Capture,
        Stage::Import,
        Stage::Convert,
        Stage::Submit,
        Stage::SliceReady,
        Stage::Encode,
        Stage::Lock,
        Stage::HandOver,
        Stage::Fec,
        Stage::Seal,
        Stage::Pace,
        Stage::PaceError,
        Stage::Send,
        Stage::Receive,
        Stage::Open,
        Stage::Reassemble,
        Stage::Decode,
        Stage::Present,
        Stage::Overlap,
        Stage::CaptureToSent,
        Stage::CaptureToReassembled,
        Stage::CaptureToDecoded,
        Stage::IdrToReassembled,
        Stage::IdrToDecoded,
        Stage::CaptureInterval,
        Stage::DecodeInterval,
    ];

    /// How many stages there are.
    pub const COUNT: usize = 26;

    /// The stage's place in [`Stage::ALL`], less than [`Stage::COUNT`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The stage's name in logs and JSON: lower case, words joined by underscores.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Capture => "capture",
            Stage::Import => "import",
            Stage::Convert => "convert",
            Stage::Submit => "submit",
            Stage::SliceReady => "slice_ready",
            Stage::Encode => "encode",
            Stage::Lock => "lock",
            Stage::HandOver => "hand_over",
            Stage::Fec => "fec",
            Stage::Seal => "seal",
            Stage::Pace => "pace",
            Stage::PaceError => "pace_error",
            Stage::Send => "send",
            Stage::Receive => "receive",
            Stage::Open => "open",
            Stage::Reassemble => "reassemble",
            Stage::Decode => "decode",
            Stage::Present => "present",
            Stage::Overlap => "overlap",
            Stage::CaptureToSent => "capture_to_sent",
            Stage::CaptureToReassembled => "capture_to_reassembled",
            Stage::CaptureToDecoded => "capture_to_decoded",
            Stage::IdrToReassembled => "idr_to_reassembled",
            Stage::IdrToDecoded => "idr_to_decoded",
            Stage::CaptureInterval => "capture_interval",
            Stage::DecodeInterval => "decode_interval",
        }
    }

    /// The stage of that [`Stage::name`], or `None`.
    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_names_and_the_list_agree() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage.index(), index);
            assert_eq!(Stage::from_name(stage.name()), Some(stage));
            assert!(stage.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        assert_eq!(Stage::from_name("frame"), None);
    }
}
