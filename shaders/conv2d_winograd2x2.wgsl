// parts: winograd_tiles, no_epilogue|epilogue
// conv2d with a kernel of 3 by 3, stride 1 and dilation 1, by Winograd's F(2x2, 3x3): output[n,o,y,x] = bias[o] + sum over
// i,u,v of weight[o,i,u,v] * input[n, group(o) * in_channels + i, y - padding + u, x - padding + v].
//
// A tile of 2 by 2 outputs Y comes from 4 by 4 inputs d and the kernel g by 16 products for each channel, where the sum
// itself has 36 (A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2015):
//
//     Y = At [ sum over i of (G g Gt) * (Bt d B) ] A          * element by element
//
//          1    0    0             1  0 -1  0            1  1  1  0
//     G = .5   .5   .5      Bt =   0  1  1  0     At =   0  1 -1 -1
//         .5  -.5   .5             0 -1  1  0
//          0    0    1             0  1  0 -1
//
// The dispatches. Each computes all tiles, or as many as the workspace has room for:
//
//     transform_kernels   weight -> kernels       an invocation: 4 output channels of an input channel
//     transform_inputs    input -> inputs         4 tiles of a channel; and the bias, that the last one has it at hand
//     multiply            kernels, inputs -> products, in conv2d_winograd_multiply.wgsl or conv2d_winograd_subgroup.wgsl
//     transform_products  products -> output      4 channels of a tile
//
// Tiles with infinities, NaN or huge products, from an input, a weight or a transform, are computed again by the
// definition above. In a transform an infinity soon becomes NaN, and a huge number swallows all others, even in outputs
// that it is no part of.

const TILE: i32 = 2;

// G x
fn transform_kernel(x: vec4<f32>, y: vec4<f32>, z: vec4<f32>) -> Four {
    let sum = x + z;
    return Four(x, 0.5 * (sum + y), 0.5 * (sum - y), z);
}

// Bt x
fn transform_input(x: Four) -> Four {
    return Four(x.a - x.c, x.b + x.c, x.c - x.b, x.b - x.d);
}

// At x
fn upper(x: Four) -> vec4<f32> {
    return x.a + x.b + x.c;
}

fn lower(x: Four) -> vec4<f32> {
    return x.b - x.c - x.d;
}

// A row of 4 positions, `step` blocks apart.
fn store_row(at: i32, step: i32, row: Four) {
    workspace[at] = row.a;
    workspace[at + step] = row.b;
    workspace[at + 2 * step] = row.c;
    workspace[at + 3 * step] = row.d;
}

// From the columns of kernels, transformed, all positions.
fn store_kernels(at: i32, step: i32, left: Four, middle: Four, right: Four) {
    store_row(at, step, transform_kernel(left.a, middle.a, right.a));
    store_row(at + 4 * step, step, transform_kernel(left.b, middle.b, right.b));
    store_row(at + 8 * step, step, transform_kernel(left.c, middle.c, right.c));
    store_row(at + 12 * step, step, transform_kernel(left.d, middle.d, right.d));
}

// A column, transformed.
fn load_column(tiles: Tiles, col: i32) -> Four {
    return transform_input(Four(
        load_inputs(tiles, 0, col),
        load_inputs(tiles, 1, col),
        load_inputs(tiles, 2, col),
        load_inputs(tiles, 3, col),
    ));
}

fn store_inputs(at: i32, step: i32, tiles: Tiles) {
    let c_0 = load_column(tiles, 0);
    let c_1 = load_column(tiles, 1);
    let c_2 = load_column(tiles, 2);
    let c_3 = load_column(tiles, 3);
    store_row(at, step, transform_input(Four(c_0.a, c_1.a, c_2.a, c_3.a)));
    store_row(at + 4 * step, step, transform_input(Four(c_0.b, c_1.b, c_2.b, c_3.b)));
    store_row(at + 8 * step, step, transform_input(Four(c_0.c, c_1.c, c_2.c, c_3.c)));
    store_row(at + 12 * step, step, transform_input(Four(c_0.d, c_1.d, c_2.d, c_3.d)));
}

// A row of 4 positions.
fn load_products(at: i32, step: i32) -> Four {
    return Four(workspace[at], workspace[at + step], workspace[at + 2 * step], workspace[at + 3 * step]);
}

fn write_tile(place: Place, at: i32, step: i32) {
    let row_0 = load_products(at, step);
    let row_1 = load_products(at + 4 * step, step);
    let row_2 = load_products(at + 8 * step, step);
    let row_3 = load_products(at + 12 * step, step);
    let left = Four(upper(row_0), upper(row_1), upper(row_2), upper(row_3));
    let right = Four(lower(row_0), lower(row_1), lower(row_2), lower(row_3));
    let top = Four(upper(left), upper(right), vec4<f32>(), vec4<f32>());
    let bottom = Four(lower(left), lower(right), vec4<f32>(), vec4<f32>());
    let start = start_of(place);
    let largest = max(
        max(largest_exponents(row_0), largest_exponents(row_1)),
        max(largest_exponents(row_2), largest_exponents(row_3)),
    );
    if (any(largest >= vec4<u32>(SPOILING))) {
        write_directly(place, start);
        return;
    }
    write_row(place, 0, start, top);
    write_row(place, 1, start, bottom);
}
