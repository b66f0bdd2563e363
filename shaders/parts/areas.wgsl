// parts: pairs, area_edges
// The means of areas, which adaptive_avg_pool2d and interpolate share: output[p,y,x] is the mean of input[p] over the rows
// from y * in_rows / out_rows, rounded down, to (y + 1) * in_rows / out_rows, rounded up, and columns alike. Areas may
// overlap where the lengths do not divide each other.
//
// `areas` computes an area an invocation. `large_areas` has a workgroup for each, which adds as a tree; an area of very
// many elements is cut into ranges, one dispatch each, of which every one but the first continues from the sum in output.

struct Params {
    count: u32,
    in_rows: u32,
    in_cols: u32,
    out_rows: u32,
    out_cols: u32,
    // The range of elements of each area that this dispatch adds.
    begin: u32,
    end: u32,
    is_last: u32,
    hidden_zero: u32,       // always 0
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;            // [planes, in_rows, in_cols]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;     // [planes, out_rows, out_cols]

var<workgroup> sums: array<vec2<f32>, WORKGROUP_SIZE>;

struct Area {
    plane_begin: u32,
    row_begin: u32,
    row_end: u32,
    col_begin: u32,
    col_end: u32,
}

fn area_of(index: u32) -> Area {
    let rest = divided(index, params.out_cols);
    let plane = divided(rest, params.out_rows);
    let row = rest - plane * params.out_rows;
    let col = index - rest * params.out_cols;
    return Area(
        params.input_base + plane * params.in_rows * params.in_cols,
        begin_of(row, params.in_rows, params.out_rows),
        end_of(row, params.in_rows, params.out_rows),
        begin_of(col, params.in_cols, params.out_cols),
        end_of(col, params.in_cols, params.out_cols),
    );
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn areas(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.count) {
        return;
    }
    let area = area_of(index);
    var sum = vec2<f32>();
    for (var row = area.row_begin; row < area.row_end; row++) {
        let begin = area.plane_begin + row * params.in_cols;
        for (var col = area.col_begin; col < area.col_end; col++) {
            sum = add(sum, input[begin + col]);
        }
    }
    let size = f32(area.row_end - area.row_begin) * f32(area.col_end - area.col_begin);
    output[params.output_base + index] = rounded(sum) / size;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn large_areas(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.y * grid.x + workgroup.x;
    let area = area_of(min(index, params.count - 1u));
    let cols = area.col_end - area.col_begin;
    let size = (area.row_end - area.row_begin) * cols;
    var sum = vec2<f32>();
    for (var element = params.begin + lane; element < min(params.end, size); element += WORKGROUP_SIZE) {
        let row = element / cols;
        let at = (area.row_begin + row) * params.in_cols + area.col_begin + (element - row * cols);
        sum = add(sum, input[area.plane_begin + at]);
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            sums[lane] = add_pair(sums[lane], sums[lane + width]);
        }
        workgroupBarrier();
    }
    if (lane == 0u && index < params.count) {
        var total = sums[0];
        if (params.begin > 0u) {
            total = add(total, output[params.output_base + index]);
        }
        output[params.output_base + index] = select(rounded(total), rounded(total) / f32(size), params.is_last != 0u);
    }
}
