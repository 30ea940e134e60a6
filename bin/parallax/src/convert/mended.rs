//! What was mended in a damaged film, put together from its segments on the film's clock.

use std::collections::BTreeMap;

use parallax_media::Damage;

/// The damage of a film and of its segments, in whatever order it comes.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// Seconds from the film's first frame to each.
    times: Vec<f64>,
    film: Damage,
    segments: BTreeMap<u32, Damage>,
    /// Frames of the segments that are known.
    frames: BTreeMap<u32, u64>,
}

impl Mended {
    /// Sets when each frame is shown, in seconds after the first.
    pub(super) fn on_clock(&mut self, times: &[f64]) {
        self.times = times.to_vec();
    }

    /// Notes what was mended before the film was cut.
    pub(super) fn of_film(&mut self, damage: &Damage) {
        self.film.merge(damage);
    }

    /// Notes the length of a segment.
    pub(super) fn length(&mut self, segment: u32, frames: u64) {
        self.frames.insert(segment, frames);
    }

    /// Notes what was mended in a segment. A later try of the same one counts instead.
    pub(super) fn of_segment(&mut self, segment: u32, frames: u64, damage: &Damage) {
        self.length(segment, frames);
        self.segments.insert(segment, damage.clone());
    }

    /// Everything, on the film's clock. Without places where the segments before one are not known.
    pub(super) fn whole(&self) -> Damage {
        let mut whole = self.film.clone();
        for (&segment, damage) in &self.segments {
            let before: Option<Vec<u64>> =
                (0..segment).map(|index| self.frames.get(&index).copied()).collect();
            let first = before.map(|before| before.iter().sum::<u64>() as usize);
            match first.and_then(|first| self.times.get(first)) {
                Some(&start) => whole.merge(&damage.clone().shifted(start)),
                None => damage.iter().for_each(|(kind, found)| {
                    whole.note_many(kind, found.count, None);
                }),
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use parallax_media::DamageKind;

    use super::*;

    #[test]
    fn places_of_segments_are_told_on_the_films_clock() {
        let mut mended = Mended::default();
        mended.on_clock(&[0.0, 0.5, 1.0, 1.5, 2.25, 3.0]);
        let mut damage = Damage::default();
        damage.note(DamageKind::Picture, Some(0.75));
        mended.of_segment(1, 2, &damage);
        assert_eq!(mended.whole().iter().next().unwrap().1.places, [] as [f64; 0]);
        mended.length(0, 3);
        mended.of_segment(1, 2, &damage);
        let whole = mended.whole();
        let found = whole.iter().next().unwrap().1;
        assert_eq!((found.count, found.places.as_slice()), (1, [2.25].as_slice()));
    }
}
