//! Tensors as PyTorch prints them.

use ndarray::{ArrayD, ArrayViewD, Axis};

/// The lines in which PyTorch prints a tensor: 4 decimals, and of long dimensions the first and last three.
pub fn pytorch_lines(array: &ArrayD<f32>) -> Vec<String> {
    let width = shown(array.view()).iter().map(|x| format!("{x:.4}").len()).max().unwrap_or(0);
    let mut lines = lines(array.view(), width);
    lines[0].insert_str(0, "tensor(");
    for line in &mut lines[1..] {
        line.insert_str(0, "       ");
    }
    if let Some(last) = lines.last_mut() {
        last.push(')');
    }
    lines
}

/// The positions of a dimension that PyTorch prints; `None` is where it leaves some out.
fn positions(length: usize) -> Vec<Option<usize>> {
    if length <= 6 {
        (0..length).map(Some).collect()
    } else {
        (0..3).map(Some).chain([None]).chain((length - 3..length).map(Some)).collect()
    }
}

/// The elements that are printed.
fn shown(array: ArrayViewD<'_, f32>) -> Vec<f32> {
    if array.ndim() == 0 {
        return array.iter().copied().collect();
    }
    positions(array.len_of(Axis(0)))
        .into_iter()
        .flatten()
        .flat_map(|position| shown(array.index_axis(Axis(0), position)))
        .collect()
}

fn lines(array: ArrayViewD<'_, f32>, width: usize) -> Vec<String> {
    let number = |x: f32| format!("{x:>width$.4}");
    if array.ndim() == 0 {
        return array.iter().map(|&x| number(x)).collect();
    }
    let positions = positions(array.len_of(Axis(0)));
    if array.ndim() == 1 {
        let items: Vec<_> = positions
            .iter()
            .map(|position| position.map_or_else(|| " ...".to_owned(), |at| number(array[[at]])))
            .collect();
        return vec![format!("[{}]", items.join(", "))];
    }
    let mut all = Vec::new();
    for (index, position) in positions.iter().enumerate() {
        let mut block = match position {
            Some(position) => lines(array.index_axis(Axis(0), *position), width),
            None => vec!["...".to_owned()],
        };
        let opening = if index == 0 { "[" } else { " " };
        for (line_index, line) in block.iter_mut().enumerate() {
            line.insert_str(0, if line_index == 0 { opening } else { " " });
        }
        if let Some(line) = block.last_mut() {
            line.push_str(if index + 1 == positions.len() { "]" } else { "," });
        }
        // PyTorch sets planes apart by an empty line.
        if index + 1 < positions.len() && array.ndim() > 2 {
            block.push(String::new());
        }
        all.extend(block);
    }
    all
}
