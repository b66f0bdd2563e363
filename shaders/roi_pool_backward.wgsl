// parts: column_blocks
// The gradient of roi_pool: grad_input[n,c,y,x] is the sum of grad_output[k,c,i,j] over the bins whose maximum is at (y, x), as
// `argmax` tells, box by box in their order, and bin by bin. Empty bins have no maximum, and give nothing; nor does a place
// outside its bin.
//
// `elements`, for GPUs: one invocation computes 4 columns of a row, from the bins of all boxes that have some of them.
// `planes`, for adapters that run on a CPU: one invocation adds the bins of all boxes to a plane, which no other one writes;
// `clear` runs before it where nothing is there yet. Both add the same numbers in the same order.

struct Params {
    count: u32,             // of invocations
    channels: i32,
    in_rows: i32,
    in_cols: i32,
    pooled_rows: i32,
    pooled_cols: i32,
    // The boxes of this dispatch, and the rows and columns of their bins.
    box_begin: i32,
    box_end: i32,
    row_begin: i32,
    row_end: i32,
    col_begin: i32,
    col_end: i32,
    // Whether sums are added to what is there.
    adds: u32,
    // Where they begin in their bindings, in elements.
    bins_base: u32,
    output_base: u32,
    input_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;            // [boxes, channels, pooled_rows, pooled_cols]
@group(0) @binding(2) var<storage, read> argmax: array<i32>;                 // as grad_output
@group(0) @binding(3) var<storage, read> bins: array<i32>;                   // [boxes, 1 + 2 * pooled_rows + 2 * pooled_cols]
@group(0) @binding(4) var<storage, read_write> grad_input: array<f32>;       // [batch, channels, in_rows, in_cols]

// Where a box's rows in the table begin: its image, and the edges of its bins.
struct BoxRow {
    image: i32,
    tops: i32,
    bottoms: i32,
    lefts: i32,
    rights: i32,
}

fn box_row(box: i32) -> BoxRow {
    let begin = i32(params.bins_base) + box * (1 + 2 * params.pooled_rows + 2 * params.pooled_cols);
    let tops = begin + 1;
    let bottoms = tops + params.pooled_rows;
    let lefts = bottoms + params.pooled_rows;
    return BoxRow(bins[begin], tops, bottoms, lefts, lefts + params.pooled_cols);
}

// Where the bins of a box begin in a channel of the output.
fn first_bin(box: i32, channel: i32) -> i32 {
    return i32(params.output_base) + (box * params.channels + channel) * params.pooled_rows * params.pooled_cols;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number >= params.count) {
        return;
    }
    let block = column_block(number);
    let image = i32(divided(u32(block.plane), u32(params.channels)));
    let channel = block.plane - image * params.channels;
    let position = block.row * params.in_cols + block.col;
    var sums = vec4<f32>();
    for (var box = params.box_begin; box < params.box_end; box++) {
        let edges = box_row(box);
        let last_row = edges.bottoms + params.pooled_rows - 1;
        let last_col = edges.rights + params.pooled_cols - 1;
        let is_over = edges.image == image && bins[edges.tops] <= block.row && block.row < bins[last_row]
            && bins[edges.lefts] <= block.col + 3 && block.col < bins[last_col];
        let end_row = select(params.row_begin, params.row_end, is_over);
        for (var bin_row = params.row_begin; bin_row < end_row; bin_row++) {
            let has_row = bins[edges.tops + bin_row] <= block.row && block.row < bins[edges.bottoms + bin_row];
            let begin = first_bin(box, channel) + bin_row * params.pooled_cols;
            let end_col = select(params.col_begin, params.col_end, has_row);
            for (var bin_col = params.col_begin; bin_col < end_col; bin_col++) {
                let column = argmax[begin + bin_col] - position;
                let col = block.col + column;
                let has_col = bins[edges.lefts + bin_col] <= col && col < bins[edges.rights + bin_col];
                let grad = select(0.0, grad_output[begin + bin_col], has_col);
                sums += select(vec4<f32>(), vec4<f32>(grad), vec4<i32>(column) == vec4<i32>(0, 1, 2, 3));
            }
        }
    }
    write_columns(block, sums);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn planes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane);
    if (u32(plane) >= params.count) {
        return;
    }
    let image = i32(divided(u32(plane), u32(params.channels)));
    let channel = plane - image * params.channels;
    let size = params.in_rows * params.in_cols;
    for (var box = params.box_begin; box < params.box_end; box++) {
        let edges = box_row(box);
        let end_row = select(params.row_begin, params.row_end, edges.image == image);
        for (var bin_row = params.row_begin; bin_row < end_row; bin_row++) {
            let top = bins[edges.tops + bin_row];
            let bottom = bins[edges.bottoms + bin_row];
            let begin = first_bin(box, channel) + bin_row * params.pooled_cols;
            for (var bin_col = params.col_begin; bin_col < params.col_end; bin_col++) {
                let place = argmax[begin + bin_col];
                let row = i32(divided(u32(max(place, 0)), u32(params.in_cols)));
                let col = place - row * params.in_cols;
                let has_row = top <= row && row < bottom;
                let has_col = bins[edges.lefts + bin_col] <= col && col < bins[edges.rights + bin_col];
                if (place >= 0 && place < size && has_row && has_col) {
                    grad_input[i32(params.input_base) + plane * size + place] += grad_output[begin + bin_col];
                }
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn clear(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        grad_input[params.input_base + index] = 0.0;
    }
}
