//! Boxes (left, top, right, bottom) in float32, computed in the order in which facenet-pytorch does.

/// A box, and the probability that it is a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub corners: [f32; 4],
    pub probability: f32,
}

impl Candidate {
    /// Columns and rows from the first to the last, without one of them.
    fn extent(&self) -> [f32; 2] {
        let [left, top, right, bottom] = self.corners;
        [right - left, bottom - top]
    }

    pub fn area(&self) -> f32 {
        let [cols, rows] = self.extent();
        cols * rows
    }

    /// Moves the corners by multiples of the box's extent and `more`.
    pub fn corrected(self, by: &[f32], more: f32) -> Self {
        let [cols, rows] = self.extent().map(|length| length + more);
        let sizes = [cols, rows, cols, rows];
        Candidate { corners: [0, 1, 2, 3].map(|at| self.corners[at] + by[at] * sizes[at]), ..self }
    }

    /// The square around the same center, as large as the longer side.
    pub fn squared(self) -> Self {
        let [cols, rows] = self.extent();
        let side = cols.max(rows);
        let [left, top] = [self.corners[0] + cols * 0.5 - side * 0.5, self.corners[1] + rows * 0.5 - side * 0.5];
        Candidate { corners: [left, top, left + side, top + side], ..self }
    }

    /// The pixels of it that are in a picture of so many columns and rows: columns, and rows.
    pub fn pixels(&self, [cols, rows]: [usize; 2]) -> [std::ops::Range<usize>; 2] {
        let range = |low: f32, high: f32, length: usize| {
            // `as` truncates.
            let begin = (low as i64).max(1) - 1;
            let end = (high as i64).min(length as i64);
            begin as usize..end.max(0) as usize
        };
        let [left, top, right, bottom] = self.corners;
        [range(left, right, cols), range(top, bottom, rows)]
    }

    /// Whether it has any of these pixels.
    pub fn is_inside(&self, size: [usize; 2]) -> bool {
        self.pixels(size).iter().all(|range| !range.is_empty())
    }
}

/// How much two boxes overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The area of both over that of either, of boxes without their last row and column.
    Union,
    /// The area of both over that of the smaller.
    Smaller,
}

impl Overlap {
    fn of(self, a: &Candidate, b: &Candidate) -> f32 {
        let more = if self == Overlap::Union { 0.0 } else { 1.0 };
        let area = |of: &Candidate| {
            let [cols, rows] = of.extent().map(|length| length + more);
            cols * rows
        };
        let shared = |low: usize, high: usize| {
            let (begin, end) = (a.corners[low].max(b.corners[low]), a.corners[high].min(b.corners[high]));
            (end - begin + more).max(0.0)
        };
        let both = shared(0, 2) * shared(1, 3);
        match self {
            Overlap::Union => both / (area(a) + area(b) - both),
            Overlap::Smaller => both / area(a).min(area(b)),
        }
    }
}

/// Non-maximum suppression: the places of the boxes, the likeliest first, without those that overlap a likelier one by more
/// than `most`. Of equally likely ones the first comes first by the union, and the last by the smaller, as there.
pub fn suppressed(boxes: &[Candidate], most: f64, overlap: Overlap) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    if overlap == Overlap::Smaller {
        order.reverse();
    }
    order.sort_by(|&a, &b| boxes[b].probability.total_cmp(&boxes[a].probability));
    let mut kept: Vec<usize> = Vec::new();
    for at in order {
        if kept.iter().all(|&other| f64::from(overlap.of(&boxes[other], &boxes[at])) <= most) {
            kept.push(at);
        }
    }
    kept
}
