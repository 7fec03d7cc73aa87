#version 450

// One picture's colours and sides: RGB of 8 or 10 bits in, YUV out, in one pass.
//
// Promises: the only roundings are to 16 bits, after the overlay, each direction of scaling and chroma's filter, and the last
// one to a sample, so that every sample is within one of the real-valued result (src/reference.rs). All sums stay in 32 bits for
// sides of up to 16384 pixels (src/limits.rs). Whole words are written, also where the last one goes beyond the width.
//
// Built three times: FROM_IMAGE reads an imported dmabuf; FROM_PLANES reads Y, U and V of 4:2:0 in a buffer, whose samples mean
// what the output's do, and only scales them; the third reads words of RGB in a buffer.

#extension GL_EXT_control_flow_attributes : require
#ifdef FROM_IMAGE
#extension GL_EXT_samplerless_texture_functions : require
#endif

// Each invocation makes two rows of BLOCK pixels: at least one word of every plane.
layout(local_size_x = 16, local_size_y = 8) in;

const uint NV12 = 0, P010 = 1, YUV444 = 2, YUV444P10 = 3, I420 = 4;
const uint LEFT = 0, CENTRE = 1, TOP_LEFT = 2;

layout(constant_id = 0) const uint FORMAT = 0;
layout(constant_id = 1) const uint SITING = 0;
// Bits of one of the source's colours.
layout(constant_id = 2) const uint BITS = 8;
// Whether red is a word's lowest colour; an image's format says that by itself.
layout(constant_id = 3) const bool RED_LOWEST = false;
// Whether the source has other sides than its place.
layout(constant_id = 4) const bool SCALED = false;

const bool IS_WIDE = FORMAT == P010 || FORMAT == YUV444P10;
const bool IS_420 = FORMAT == NV12 || FORMAT == P010 || FORMAT == I420;
const uint BLOCK = FORMAT == I420 ? 8 : 4;
const uint BLOCK_MAX = 8;
// Colours are carried in 16 bits.
const uint RAISE = 16 - BITS;
// The matrix has 23 bits of fraction for samples of 8 bits, 21 for those of 10.
const uint FRACTION = IS_WIDE ? 21 : 23;
const uint MOST = IS_WIDE ? 1023 : 255;

#ifdef FROM_PLANES
#define COLOUR uint
#else
#define COLOUR uvec3
#endif

#ifdef FROM_IMAGE
layout(set = 0, binding = 0) uniform texture2D source_image;
#else
layout(set = 0, binding = 0) readonly buffer Source { uint source_words[]; };
#endif
layout(set = 1, binding = 0) writeonly buffer Picture { uint picture_words[]; };

// Blue, green, red, alpha, premultiplied, lowest first.
layout(set = 2, binding = 0) readonly buffer Overlay { uint overlay_words[]; };

layout(push_constant) uniform Job {
    // Sides of the source, its place in the output (all even), and the output's sides, in pixels.
    uvec2 source_size;
    uvec2 place_at;
    uvec2 place_size;
    uvec2 picture_size;
    // In words (of planes, in bytes): where the source begins and its rows' distance. In words: that of luma's and of chroma's rows, and where chroma begins.
    uint source_at;
    uint source_stride;
    uint luma_pitch;
    uint chroma_pitch;
    uint first_chroma_at;
    uint second_chroma_at;
    // Where the overlay is on the source, and its sides; none has none.
    ivec2 overlay_at;
    uvec2 overlay_size;
    uint unused_0;
    uint unused_1;
    // Red's, green's and blue's weights, and what is added: the sample of black, and a half for rounding.
    ivec4 luma;
    ivec4 blue_chroma;
    ivec4 red_chroma;
} job;

#ifdef FROM_PLANES
// A sample of a plane, in 16 bits.
uint texel(uint plane, uint x, uint y) {
    uint luma_bytes = job.source_stride * job.source_size.y;
    uint at = job.source_at + y * (plane == 0u ? job.source_stride : job.source_stride / 2u) + x;
    if (plane > 0u) at += luma_bytes + (plane - 1u) * (luma_bytes / 4u);
    return (source_words[at / 4u] >> 8u * (at % 4u) & 255u) << 8u;
}
#else
// A pixel of the source, in 16 bits, with the overlay on it.
uvec3 texel(uint plane, uint x, uint y) {
    uint most = (1u << BITS) - 1u;
#ifdef FROM_IMAGE
    vec3 fetched = texelFetch(source_image, ivec2(x, y), 0).rgb;
    uvec3 colour = uvec3(fetched * float(most) + 0.5);
#else
    uint word = source_words[job.source_at + y * job.source_stride + x];
    uvec3 low_first = uvec3(word & most, word >> BITS & most, word >> 2u * BITS & most);
    uvec3 colour = RED_LOWEST ? low_first : low_first.bgr;
#endif
    // What lies to the left of it or above is far to the right and below without a sign.
    uvec2 over = uvec2(ivec2(x, y) - job.overlay_at);
    if (any(greaterThanEqual(over, job.overlay_size))) return colour << RAISE;
    uint blend = overlay_words[over.y * job.overlay_size.x + over.x];
    uvec3 premultiplied = uvec3(blend >> 16u & 255u, blend >> 8u & 255u, blend & 255u);
    uvec3 sum = colour * (255u - (blend >> 24u)) + premultiplied * most;
    return min(((sum << RAISE) + 127u) / 255u, uvec3(most << RAISE));
}
#endif

// Column `x` of the place in row `y` of the source, of whose width `from` becomes `to`: the mean of all that the column covers
// where there is more of the source, a line between two pixels where there is less.
COLOUR across(uint plane, uint x, uint y, uint from, uint to) {
    if (from == to) return texel(plane, x, y);
    COLOUR sum = COLOUR(0);
    if (from > to) {
        // In parts of which a source's pixel has `to`, and the column `from`.
        uint start = x * from, end = start + from;
        for (uint column = start / to; column * to < end; ++column) {
            sum += texel(plane, column, y) * (min((column + 1u) * to, end) - max(column * to, start));
        }
        return (sum + from / 2u) / from;
    }
    // In parts of which a source's pixel has twice `to`.
    uint position = uint(max(int((2u * x + 1u) * from) - int(to), 0));
    uint column = position / (2u * to), part = position % (2u * to);
    sum = texel(plane, column, y) * (2u * to - part) + texel(plane, min(column + 1u, from - 1u), y) * part;
    return (sum + to) / (2u * to);
}

// The same in both directions.
COLOUR scaled(uint plane, uint x, uint y, uvec2 from, uvec2 to) {
    if (from.y == to.y) return across(plane, x, y, from.x, to.x);
    if (from.y > to.y) {
        uint start = y * from.y, end = start + from.y;
        COLOUR sum = COLOUR(0);
        for (uint row = start / to.y; row * to.y < end; ++row) {
            uint covered = min((row + 1u) * to.y, end) - max(row * to.y, start);
            sum += across(plane, x, row, from.x, to.x) * covered;
        }
        return (sum + from.y / 2u) / from.y;
    }
    uint position = uint(max(int((2u * y + 1u) * from.y) - int(to.y), 0));
    uint row = position / (2u * to.y), part = position % (2u * to.y);
    COLOUR sum = across(plane, x, row, from.x, to.x) * (2u * to.y - part)
        + across(plane, x, min(row + 1u, from.y - 1u), from.x, to.x) * part;
    return (sum + to.y) / (2u * to.y);
}

// Samples of a row's block, as the words of one plane. `count` samples, from the first.
void put(uint samples[BLOCK_MAX], uint count, uint at) {
    if (IS_WIDE) {
        [[unroll]] for (uint index = 0; index < count; index += 2) {
            picture_words[at + index / 2] = samples[index] << 6 | samples[index + 1] << 22;
        }
    } else {
        [[unroll]] for (uint index = 0; index < count; index += 4) {
            picture_words[at + index / 4] = samples[index] | samples[index + 1] << 8
                | samples[index + 2] << 16 | samples[index + 3] << 24;
        }
    }
}

#ifdef FROM_PLANES
// A sample of the output.
uint sample_of(uint raised) {
    return min(IS_WIDE ? (raised + 32u) >> 6u : (raised + 128u) >> 8u, MOST);
}

// The sample of a plane at (`x`, `y`) of the output's plane, which has one for `step` pixels each way.
uint sample_at(uint plane, uint x, uint y, uint step) {
    uvec2 at = uvec2(x, y) - job.place_at / step, to = job.place_size / step;
    uvec2 from = plane == 0u ? job.source_size : job.source_size / 2u;
    if (any(greaterThanEqual(at, to))) return uint((plane == 0u ? job.luma.a : job.blue_chroma.a)) >> FRACTION;
    return sample_of(scaled(plane, at.x, at.y, from, to));
}

void main() {
    uvec2 block = gl_GlobalInvocationID.xy;
    uvec2 at = uvec2(block.x * BLOCK, block.y * 2u);
    if (any(greaterThanEqual(at, job.picture_size))) return;
    uint sample_bytes_log2 = IS_WIDE ? 1u : 0u;
    uint samples[BLOCK_MAX];
    for (uint plane = 0; plane < (IS_420 ? 1u : 3u); ++plane) {
        uint plane_at = plane == 0u ? 0u : plane == 1u ? job.first_chroma_at : job.second_chroma_at;
        [[unroll]] for (uint row = 0; row < 2u; ++row) {
            [[unroll]] for (uint index = 0; index < BLOCK; ++index) {
                samples[index] = sample_at(plane, at.x + index, at.y + row, 1u);
            }
            put(samples, BLOCK, plane_at + (at.y + row) * job.luma_pitch + (at.x << sample_bytes_log2) / 4u);
        }
    }
    if (FORMAT == I420) {
        for (uint plane = 1; plane < 3u; ++plane) {
            [[unroll]] for (uint pair = 0; pair < BLOCK / 2; ++pair) {
                samples[pair] = sample_at(plane, at.x / 2u + pair, block.y, 2u);
            }
            uint plane_at = plane == 1u ? job.first_chroma_at : job.second_chroma_at;
            put(samples, BLOCK / 2, plane_at + block.y * job.chroma_pitch + at.x / 8u);
        }
    } else if (IS_420) {
        [[unroll]] for (uint index = 0; index < BLOCK; ++index) {
            samples[index] = sample_at(1u + index % 2u, at.x / 2u + index / 2u, block.y, 2u);
        }
        put(samples, BLOCK, job.first_chroma_at + block.y * job.chroma_pitch + (at.x << sample_bytes_log2) / 4u);
    }
}
#else
// A sample of a colour. What is added keeps the sum above zero.
uint sample_of(uvec3 colour, ivec4 weights) {
    ivec3 parts = ivec3(colour) * weights.rgb;
    uint sum = uint(parts.r + parts.g + parts.b) + uint(weights.a);
    return min(sum >> FRACTION, MOST);
}

// A pixel of the place.
uvec3 colour(uint x, uint y) {
    return SCALED ? scaled(0u, x, y, job.source_size, job.place_size) : texel(0u, x, y);
}

void main() {
    uvec2 block = gl_GlobalInvocationID.xy;
    uvec2 at = uvec2(block.x * BLOCK, block.y * 2u);
    if (any(greaterThanEqual(at, job.picture_size))) return;
    bool is_beside = at.y < job.place_at.y || at.y >= job.place_at.y + job.place_size.y;

    uint sample_bytes_log2 = IS_WIDE ? 1u : 0u;
    // Chroma's filter, gathered row by row: with TOP_LEFT from the row above on.
    uvec3 gathered[BLOCK_MAX / 2];
    [[unroll]] for (uint pair = 0; pair < BLOCK / 2; ++pair) gathered[pair] = uvec3(0);
    uint first_row = IS_420 && SITING == TOP_LEFT ? 0u : 1u;
    [[unroll]] for (uint row = first_row; row < 3u; ++row) {
        // Row 0 is the one above the block, of which only chroma is made.
        uint y = uint(max(int(at.y + row) - 1 - int(job.place_at.y), 0));
        uint row_weight = SITING == TOP_LEFT && row == 1u ? 2u : 1u;
        uint luma[BLOCK_MAX], first[BLOCK_MAX], second[BLOCK_MAX];
        uvec3 before = uvec3(0);
        [[unroll]] for (uint index = 0; index < BLOCK; ++index) {
            uint column = at.x + index;
            bool is_bar = is_beside || column < job.place_at.x || column >= job.place_at.x + job.place_size.x;
            uint x = column - job.place_at.x;
            uvec3 here = is_bar ? uvec3(0) : colour(x, y);
            luma[index] = sample_of(here, job.luma);
            if (!IS_420) {
                first[index] = sample_of(here, job.blue_chroma);
                second[index] = sample_of(here, job.red_chroma);
            } else if (SITING == CENTRE) {
                gathered[index / 2] += here;
            } else if (!is_bar) {
                // One part of the column to the left, two of the even one, one of the odd one.
                if (index == 0u) before = colour(uint(max(int(x) - 1, 0)), y);
                if ((index & 1u) == 0u) {
                    bool is_edge = x == 0u;
                    gathered[index / 2] += row_weight * ((is_edge ? here : before) + 2u * here);
                } else {
                    gathered[index / 2] += row_weight * here;
                }
                before = here;
            }
        }
        if (row == 0u) continue;
        uint luma_row = (at.y + row - 1u) * job.luma_pitch + (at.x << sample_bytes_log2) / 4u;
        put(luma, BLOCK, luma_row);
        if (!IS_420) {
            put(first, BLOCK, job.first_chroma_at + luma_row);
            put(second, BLOCK, job.second_chroma_at + luma_row);
        }
    }
    if (!IS_420) return;

    uint weights_log2 = SITING == CENTRE ? 2u : SITING == LEFT ? 3u : 4u;
    uint half_weights = 1u << weights_log2 - 1u;
    uint first[BLOCK_MAX], second[BLOCK_MAX];
    [[unroll]] for (uint pair = 0; pair < BLOCK / 2; ++pair) {
        uvec3 mean = (gathered[pair] + half_weights) >> weights_log2;
        uint blue = sample_of(mean, job.blue_chroma), red = sample_of(mean, job.red_chroma);
        if (FORMAT == I420) {
            first[pair] = blue;
            second[pair] = red;
        } else {
            first[2 * pair] = blue;
            first[2 * pair + 1] = red;
        }
    }
    if (FORMAT == I420) {
        uint chroma_row = block.y * job.chroma_pitch + at.x / 8u;
        put(first, BLOCK / 2, job.first_chroma_at + chroma_row);
        put(second, BLOCK / 2, job.second_chroma_at + chroma_row);
    } else {
        put(first, BLOCK, job.first_chroma_at + block.y * job.chroma_pitch + (at.x << sample_bytes_log2) / 4u);
    }
}
#endif
