// How a convolution stores an element. The file binds `params` and `output`, and names no_epilogue or epilogue.

// `sum` and `start`, and what the output holds if this dispatch continues from that.
fn write_pixel(place: i32, is_inside: bool, channel: i32, start: f32, sum: f32) {
    if (is_inside) {
        var value = start + sum;
        if (params.continues != 0u) {
            value += output[place];
        }
        output[place] = finished(value, place, channel);
    }
}

// The same of 4 elements of a channel.
fn write_pixels(places: vec4<i32>, is_inside: vec4<bool>, channel: i32, start: f32, sums: vec4<f32>) {
    var values = start + sums;
    let at = select(vec4<i32>(), places, is_inside);
    if (params.continues != 0u) {
        values += vec4<f32>(output[at.x], output[at.y], output[at.z], output[at.w]);
    }
    values = finished_pixels(values, at, channel);
    if (is_inside.x) { output[at.x] = values.x; }
    if (is_inside.y) { output[at.y] = values.y; }
    if (is_inside.z) { output[at.z] = values.z; }
    if (is_inside.w) { output[at.w] = values.w; }
}
