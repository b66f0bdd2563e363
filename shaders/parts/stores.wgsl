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
