//! How fast this machine encodes and recovers blocks, with every recovered byte checked.
//!
//! Figures for a look; what guards against getting slower is in `benches/`.

use std::time::{Duration, Instant};

use punktfunk_fec::{Decoder, Encoder, Shape, ShardSet};

use crate::cli::{FecArgs, ShapeText};
use crate::plan::PlanError;
use crate::rng::{Purpose, Rng};

/// One shape's figures.
#[derive(Debug)]
pub struct Row {
    /// Data shards.
    pub k: u16,
    /// Parity shards.
    pub m: u16,
    /// Bytes of data a block.
    pub data_bytes: usize,
    /// Time of one encode.
    pub encode: Duration,
    /// Time to recover one shard.
    pub recover_one: Duration,
    /// Time to recover as many shards as there is parity.
    pub recover_all: Duration,
    /// Every recovered byte was the one that was sent.
    pub bytes_right: bool,
}

/// Measures each shape.
pub fn measure(args: &FecArgs) -> Result<Vec<Row>, PlanError> {
    if !(0.001..=60.0).contains(&args.seconds) {
        return Err(PlanError::Value {
            key: "--seconds".to_owned(),
            expected: "0.001 to 60".to_owned(),
            got: args.seconds.to_string(),
        });
    }
    args.shapes.iter().map(|shape| measure_shape(*shape, args)).collect()
}

fn measure_shape(text: ShapeText, args: &FecArgs) -> Result<Row, PlanError> {
    let shape = Shape::new(text.k, text.m, args.shard_bytes).map_err(|error| PlanError::Value {
        key: "--shapes or --shard-bytes".to_owned(),
        expected: error.to_string(),
        got: format!("{}+{} of {} bytes", text.k, text.m, args.shard_bytes),
    })?;
    let data_bytes = shape.data() * shape.shard_bytes();
    let mut data = vec![0; data_bytes];
    Rng::new(args.seed, Purpose::Bytes(0)).fill(&mut data);
    let mut encoder = Encoder::new();
    let encode = time(args.seconds, || encoder.encode(shape, &data).expect("k whole shards").shard(0)[0]);
    let mut span = data.clone();
    let parity = encoder.encode(shape, &data).expect("k whole shards");
    (0..shape.parity()).for_each(|index| span.extend_from_slice(parity.shard(index)));
    let mut right = true;
    let mut recover = |lost: usize| {
        let mut filled = ShardSet::with_capacity(shape.shards());
        (lost..shape.shards()).for_each(|index| {
            filled.insert(index);
        });
        span[..lost * shape.shard_bytes()].fill(0xEE);
        let mut decoder = Decoder::new();
        let took =
            time(args.seconds, || decoder.recover(shape, &mut span, &filled).expect("k shards are there"));
        right &= span[..data_bytes] == data;
        took
    };
    let recover_one = recover(1);
    let recover_all = recover(shape.parity().min(shape.data()));
    Ok(Row { k: text.k, m: text.m, data_bytes, encode, recover_one, recover_all, bytes_right: right })
}

/// The mean time of one call, over `seconds`, after a first call that warms.
fn time<T>(seconds: f64, mut verb: impl FnMut() -> T) -> Duration {
    std::hint::black_box(verb());
    let started = Instant::now();
    let mut rounds = 0;
    while rounds == 0 || started.elapsed().as_secs_f64() < seconds {
        std::hint::black_box(verb());
        rounds += 1;
    }
    started.elapsed() / rounds
}
