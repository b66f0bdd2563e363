// parts: winograd_tiles, no_epilogue|epilogue
// conv2d by Winograd's F(4x4, 3x3): as conv2d_winograd2x2.wgsl, but a tile of 4 by 4 outputs comes from 6 by 6 inputs by 36
// products for each channel, where the sum itself has 144.
//
// The transforms interpolate at 0, 5/8, -5/8, 3/2, -3/2 and infinity, which round less than the paper's whole numbers
// (B. Barabasz et al.: Error analysis and improving the accuracy of Winograd convolution, 2018). Bt and At are exact.
//
//           256/225     0      0        225/256   0    -169/64   0     1   0       1     1       1      1     1    0
//       -2048/2975 * (  1     5/8  25/64)   0   -45/32  -9/4    5/8    1   0       0    5/8    -5/8    3/2  -3/2   0
//   G = -2048/2975 * (  1    -5/8  25/64)   0    45/32  -9/4   -5/8    1   0 = Bt  0   25/64   25/64   9/4   9/4   0 = At
//         128/1071 * (  1     3/2  9/4  )   0  -75/128 -25/64   3/2    1   0       0  125/512 -125/512 27/8 -27/8  1
//         128/1071 * (  1    -3/2  9/4  )   0   75/128 -25/64  -3/2    1   0
//              0        0      1            0  225/256   0   -169/64   0   1

const TILE: i32 = 4;

// A column or a row, each of 4 tiles or channels.
struct Six {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    e: vec4<f32>,
    f: vec4<f32>,
}

// G x
fn transform_kernel(x: vec4<f32>, y: vec4<f32>, z: vec4<f32>) -> Six {
    let near = x + 0.390625 * z;
    let far = x + 2.25 * z;
    return Six(
        (256.0 / 225.0) * x,
        (-2048.0 / 2975.0) * (near + 0.625 * y),
        (-2048.0 / 2975.0) * (near - 0.625 * y),
        (128.0 / 1071.0) * (far + 1.5 * y),
        (128.0 / 1071.0) * (far - 1.5 * y),
        z,
    );
}

// Bt x
fn transform_input(x: Six) -> Six {
    let near = x.e - 2.25 * x.c;
    let near_odd = 0.625 * (x.d - 2.25 * x.b);
    let far = x.e - 0.390625 * x.c;
    let far_odd = 1.5 * (x.d - 0.390625 * x.b);
    return Six(
        0.87890625 * x.a - 2.640625 * x.c + x.e,
        near + near_odd,
        near - near_odd,
        far + far_odd,
        far - far_odd,
        0.87890625 * x.b - 2.640625 * x.d + x.f,
    );
}

// At x
fn transform_product(x: Six) -> Four {
    let near = x.b + x.c;
    let near_odd = x.b - x.c;
    let far = x.d + x.e;
    let far_odd = x.d - x.e;
    return Four(
        x.a + near + far,
        0.625 * near_odd + 1.5 * far_odd,
        0.390625 * near + 2.25 * far,
        0.244140625 * near_odd + 3.375 * far_odd + x.f,
    );
}

// A row of 6 positions, `step` blocks apart.
fn store_row(at: i32, step: i32, row: Six) {
    workspace[at] = row.a;
    workspace[at + step] = row.b;
    workspace[at + 2 * step] = row.c;
    workspace[at + 3 * step] = row.d;
    workspace[at + 4 * step] = row.e;
    workspace[at + 5 * step] = row.f;
}

// From the columns of kernels, transformed, all positions.
fn store_kernels(at: i32, step: i32, left: Six, middle: Six, right: Six) {
    store_row(at, step, transform_kernel(left.a, middle.a, right.a));
    store_row(at + 6 * step, step, transform_kernel(left.b, middle.b, right.b));
    store_row(at + 12 * step, step, transform_kernel(left.c, middle.c, right.c));
    store_row(at + 18 * step, step, transform_kernel(left.d, middle.d, right.d));
    store_row(at + 24 * step, step, transform_kernel(left.e, middle.e, right.e));
    store_row(at + 30 * step, step, transform_kernel(left.f, middle.f, right.f));
}

// A column, transformed.
fn load_column(tiles: Tiles, col: i32) -> Six {
    return transform_input(Six(
        load_inputs(tiles, 0, col),
        load_inputs(tiles, 1, col),
        load_inputs(tiles, 2, col),
        load_inputs(tiles, 3, col),
        load_inputs(tiles, 4, col),
        load_inputs(tiles, 5, col),
    ));
}

fn store_inputs(at: i32, step: i32, tiles: Tiles) {
    let c_0 = load_column(tiles, 0);
    let c_1 = load_column(tiles, 1);
    let c_2 = load_column(tiles, 2);
    let c_3 = load_column(tiles, 3);
    let c_4 = load_column(tiles, 4);
    let c_5 = load_column(tiles, 5);
    store_row(at, step, transform_input(Six(c_0.a, c_1.a, c_2.a, c_3.a, c_4.a, c_5.a)));
    store_row(at + 6 * step, step, transform_input(Six(c_0.b, c_1.b, c_2.b, c_3.b, c_4.b, c_5.b)));
    store_row(at + 12 * step, step, transform_input(Six(c_0.c, c_1.c, c_2.c, c_3.c, c_4.c, c_5.c)));
    store_row(at + 18 * step, step, transform_input(Six(c_0.d, c_1.d, c_2.d, c_3.d, c_4.d, c_5.d)));
    store_row(at + 24 * step, step, transform_input(Six(c_0.e, c_1.e, c_2.e, c_3.e, c_4.e, c_5.e)));
    store_row(at + 30 * step, step, transform_input(Six(c_0.f, c_1.f, c_2.f, c_3.f, c_4.f, c_5.f)));
}

fn load_products(at: i32, step: i32) -> Four {
    return transform_product(Six(
        workspace[at],
        workspace[at + 6 * step],
        workspace[at + 12 * step],
        workspace[at + 18 * step],
        workspace[at + 24 * step],
        workspace[at + 30 * step],
    ));
}

fn write_tile(place: Place, at: i32, step: i32) {
    let c_0 = load_products(at, step);
    let c_1 = load_products(at + step, step);
    let c_2 = load_products(at + 2 * step, step);
    let c_3 = load_products(at + 3 * step, step);
    let c_4 = load_products(at + 4 * step, step);
    let c_5 = load_products(at + 5 * step, step);
    let start = start_of(place);
    let row_0 = transform_product(Six(c_0.a, c_1.a, c_2.a, c_3.a, c_4.a, c_5.a));
    let row_1 = transform_product(Six(c_0.b, c_1.b, c_2.b, c_3.b, c_4.b, c_5.b));
    let row_2 = transform_product(Six(c_0.c, c_1.c, c_2.c, c_3.c, c_4.c, c_5.c));
    let row_3 = transform_product(Six(c_0.d, c_1.d, c_2.d, c_3.d, c_4.d, c_5.d));

    let left = max(max(largest_exponents(c_0), largest_exponents(c_1)), largest_exponents(c_2));
    let right = max(max(largest_exponents(c_3), largest_exponents(c_4)), largest_exponents(c_5));
    if (any(max(left, right) >= vec4<u32>(SPOILING))) {
        write_directly(place, start);
        return;
    }
    write_row(place, 0, start, row_0);
    write_row(place, 1, start, row_1);
    write_row(place, 2, start, row_2);
    write_row(place, 3, start, row_3);
}
