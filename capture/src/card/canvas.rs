//! An I420 picture to draw on, in whole chroma pixels: coordinates and sides are rounded down to even.

/// A colour in BT.709 limited range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) y: u8,
    pub(super) u: u8,
    pub(super) v: u8,
}

impl Colour {
    /// A colour from its three components.
    pub(super) const fn new(y: u8, u: u8, v: u8) -> Self {
        Self { y, u, v }
    }

    /// A shade of grey.
    pub(super) const fn grey(y: u8) -> Self {
        Self::new(y, 128, 128)
    }
}

/// A rectangle in pixels; all four are even in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Rect {
    /// A rectangle, rounded down to even numbers.
    pub(super) const fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self { x: x & !1, y: y & !1, width: width & !1, height: height & !1 }
    }

    /// The same with a margin taken off on all sides.
    pub(super) fn inset(&self, margin: usize) -> Self {
        Self::new(
            self.x + margin,
            self.y + margin,
            self.width.saturating_sub(2 * margin),
            self.height.saturating_sub(2 * margin),
        )
    }
}

/// Planes Y, U and V without gaps.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Canvas {
    /// A black picture; sides are even.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let mut canvas = Self { width, height, bytes: vec![128; width * height / 2 * 3] };
        canvas.bytes[..width * height].fill(16);
        canvas
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Fills what lies inside of the picture.
    pub(super) fn fill(&mut self, rect: Rect, colour: Colour) {
        for (plane, value) in [(Plane::Y, colour.y), (Plane::U, colour.u), (Plane::V, colour.v)] {
            for row in self.rows(rect, plane) {
                self.bytes[row].fill(value);
            }
        }
    }

    /// Copies what lies inside of both pictures, which have the same sides.
    pub(super) fn restore(&mut self, rect: Rect, from: &Self) {
        for plane in [Plane::Y, Plane::U, Plane::V] {
            for row in self.rows(rect, plane) {
                self.bytes[row.clone()].copy_from_slice(&from.bytes[row]);
            }
        }
    }

    /// Colours each luma pixel of `rect` by its place from the rectangle's corner, without colour.
    pub(super) fn shade(&mut self, rect: Rect, luma: impl Fn(usize, usize) -> u8) {
        self.fill(rect, Colour::grey(16));
        for (down, row) in self.rows(rect, Plane::Y).enumerate() {
            for (across, pixel) in self.bytes[row].iter_mut().enumerate() {
                *pixel = luma(across, down);
            }
        }
    }

    /// Sets one luma pixel if it is inside.
    pub(super) fn dot(&mut self, x: usize, y: usize, luma: u8) {
        if x < self.width && y < self.height {
            self.bytes[y * self.width + x] = luma;
        }
    }

    /// The byte ranges of a rectangle's rows in a plane, clipped.
    fn rows(&self, rect: Rect, plane: Plane) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (luma, chroma) = (self.width * self.height, self.width * self.height / 4);
        let (begin, scale) = match plane {
            Plane::Y => (0, 1),
            Plane::U => (luma, 2),
            Plane::V => (luma + chroma, 2),
        };
        let (right, bottom) =
            ((rect.x + rect.width).min(self.width), (rect.y + rect.height).min(self.height));
        let (left, top) = (rect.x.min(right) / scale, rect.y.min(bottom) / scale);
        let (right, bottom, stride) = (right / scale, bottom / scale, self.width / scale);
        (top..bottom).map(move |row| begin + row * stride + left..begin + row * stride + right)
    }
}

#[derive(Debug, Clone, Copy)]
enum Plane {
    Y,
    U,
    V,
}
