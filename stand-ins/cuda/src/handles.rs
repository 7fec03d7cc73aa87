//! Handles that are never given out twice, so that one used after its end is found out.

use std::collections::BTreeMap;

/// Things by handle.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    things: BTreeMap<usize, T>,
    next: usize,
}

impl<T> Handles<T> {
    /// Handles that begin behind `base`. No two tables share one.
    pub(crate) const fn new(base: usize) -> Self {
        Self { things: BTreeMap::new(), next: base }
    }

    pub(crate) fn add(&mut self, thing: T) -> usize {
        self.next += 16;
        self.things.insert(self.next, thing);
        self.next
    }

    pub(crate) fn at(&self, handle: usize) -> Option<&T> {
        self.things.get(&handle)
    }

    pub(crate) fn at_mut(&mut self, handle: usize) -> Option<&mut T> {
        self.things.get_mut(&handle)
    }

    pub(crate) fn remove(&mut self, handle: usize) -> Option<T> {
        self.things.remove(&handle)
    }

    pub(crate) fn len(&self) -> usize {
        self.things.len()
    }

    /// The first handle whose thing `is_meant`.
    pub(crate) fn find(&self, is_meant: impl Fn(&T) -> bool) -> Option<usize> {
        self.things.iter().find(|(_, thing)| is_meant(thing)).map(|(handle, _)| *handle)
    }

    /// Takes out all that `is_meant`.
    pub(crate) fn drain(&mut self, is_meant: impl Fn(&T) -> bool) -> Vec<T> {
        let handles: Vec<usize> =
            self.things.iter().filter(|(_, thing)| is_meant(thing)).map(|(handle, _)| *handle).collect();
        handles.into_iter().filter_map(|handle| self.things.remove(&handle)).collect()
    }
}
