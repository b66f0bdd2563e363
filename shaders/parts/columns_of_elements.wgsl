// The elements of the input that columns have, one by one. The file defines TAPS.

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [images, groups * in_channels, in_rows, in_cols]

// Whether stride and dilation of columns are 1.
override IS_DENSE: u32 = 0u;

// The elements of the input that 4 columns have at 4 pixels.
struct Inputs {
    pixel_0: vec4<f32>,
    pixel_1: vec4<f32>,
    pixel_2: vec4<f32>,
    pixel_3: vec4<f32>,
}

// The columns: where their planes of the first image begin, and their kernel elements.
struct Columns {
    planes: vec4<i32>,
    rows: vec4<i32>,
    cols: vec4<i32>,
}

fn element(begin: i32, row: i32, col: i32) -> f32 {
    let is_inside = row >= 0 && row < params.in_rows && col >= 0 && col < params.in_cols;
    return select(0.0, input[select(0, begin + row * params.in_cols + col, is_inside)], is_inside);
}

fn load_pixel(columns: Columns, begins: vec4<i32>, rows: vec4<i32>, col: i32) -> vec4<f32> {
    let cols = col * params.cols.stride + columns.cols;
    if (col >= params.out_cols) {
        return vec4<f32>();
    }
    return vec4<f32>(
        element(begins.x, rows.x, cols.x),
        element(begins.y, rows.y, cols.y),
        element(begins.z, rows.z, cols.z),
        element(begins.w, rows.w, cols.w),
    );
}

fn load_inputs(columns: Columns, block: Block) -> Inputs {
    let image = block.image * params.groups * params.in_channels * params.in_rows * params.in_cols;
    let begins = columns.planes + image;
    let rows = block.row * params.rows.stride + columns.rows;
    if (IS_DENSE != 0u && TAPS == 4) {
        // Neighbouring pixels share all but one element.
        let begin = begins.x;
        let row = rows.x;
        let col = block.col + columns.cols.x;
        let x_0 = element(begin, row, col);
        let x_1 = element(begin, row, col + 1);
        let x_2 = element(begin, row, col + 2);
        let x_3 = element(begin, row, col + 3);
        let x_4 = element(begin, row, col + 4);
        let x_5 = element(begin, row, col + 5);
        var x_6 = 0.0;
        if (params.cols.kernel > 3) {
            x_6 = element(begin, row, col + 6);
        }
        let rest = params.out_cols - block.col;
        return Inputs(
            vec4<f32>(x_0, x_1, x_2, x_3),
            select(vec4<f32>(), vec4<f32>(x_1, x_2, x_3, x_4), rest > 1),
            select(vec4<f32>(), vec4<f32>(x_2, x_3, x_4, x_5), rest > 2),
            select(vec4<f32>(), vec4<f32>(x_3, x_4, x_5, x_6), rest > 3),
        );
    }
    return Inputs(
        load_pixel(columns, begins, rows, block.col),
        load_pixel(columns, begins, rows, block.col + 1),
        load_pixel(columns, begins, rows, block.col + 2),
        load_pixel(columns, begins, rows, block.col + 3),
    );
}
