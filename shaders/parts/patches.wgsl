// The sums of kernels that compute patches of 8 pixels by up to 16 channels, with weights from parts/weights.wgsl or
// parts/weights_subgroup.wgsl. A file that names this part defines where a channel is written: OutputPlaces,
// write_channel.

const PIXELS: i32 = 8;

// The sums of 8 channels: of each, the low 4 pixels and the high 4. No index may be a variable while they grow, or they
// leave the registers.
fn add_products(sums: ptr<function, array<vec4<f32>, 16>>, weights: Weights, low: vec4<f32>, high: vec4<f32>) {
    (*sums)[0] += weights.low.x * low;
    (*sums)[1] += weights.low.x * high;
    if (CHANNELS > 1) {
        (*sums)[2] += weights.low.y * low;
        (*sums)[3] += weights.low.y * high;
        (*sums)[4] += weights.low.z * low;
        (*sums)[5] += weights.low.z * high;
        (*sums)[6] += weights.low.w * low;
        (*sums)[7] += weights.low.w * high;
    }
    if (CHANNELS > 4) {
        (*sums)[8] += weights.high.x * low;
        (*sums)[9] += weights.high.x * high;
        (*sums)[10] += weights.high.y * low;
        (*sums)[11] += weights.high.y * high;
        (*sums)[12] += weights.high.z * low;
        (*sums)[13] += weights.high.z * high;
        (*sums)[14] += weights.high.w * low;
        (*sums)[15] += weights.high.w * high;
    }
}

// Adds sums that were summed separately, so that long sums do not add rounding.
fn add_sums(totals: ptr<function, array<vec4<f32>, 16>>, sums: ptr<function, array<vec4<f32>, 16>>) {
    (*totals)[0] += (*sums)[0];
    (*totals)[1] += (*sums)[1];
    if (CHANNELS > 1) {
        (*totals)[2] += (*sums)[2];
        (*totals)[3] += (*sums)[3];
        (*totals)[4] += (*sums)[4];
        (*totals)[5] += (*sums)[5];
        (*totals)[6] += (*sums)[6];
        (*totals)[7] += (*sums)[7];
    }
    if (CHANNELS > 4) {
        (*totals)[8] += (*sums)[8];
        (*totals)[9] += (*sums)[9];
        (*totals)[10] += (*sums)[10];
        (*totals)[11] += (*sums)[11];
        (*totals)[12] += (*sums)[12];
        (*totals)[13] += (*sums)[13];
        (*totals)[14] += (*sums)[14];
        (*totals)[15] += (*sums)[15];
    }
}

fn write_patch(
    places: OutputPlaces,
    first_channel: i32,
    sums_0: ptr<function, array<vec4<f32>, 16>>,
    sums_8: ptr<function, array<vec4<f32>, 16>>,
) {
    write_channel(places, first_channel + 0, (*sums_0)[0], (*sums_0)[1]);
    if (CHANNELS > 1) {
        write_channel(places, first_channel + 1, (*sums_0)[2], (*sums_0)[3]);
        write_channel(places, first_channel + 2, (*sums_0)[4], (*sums_0)[5]);
        write_channel(places, first_channel + 3, (*sums_0)[6], (*sums_0)[7]);
    }
    if (CHANNELS > 4) {
        write_channel(places, first_channel + 4, (*sums_0)[8], (*sums_0)[9]);
        write_channel(places, first_channel + 5, (*sums_0)[10], (*sums_0)[11]);
        write_channel(places, first_channel + 6, (*sums_0)[12], (*sums_0)[13]);
        write_channel(places, first_channel + 7, (*sums_0)[14], (*sums_0)[15]);
    }
    if (CHANNELS > 8) {
        write_channel(places, first_channel + 8, (*sums_8)[0], (*sums_8)[1]);
        write_channel(places, first_channel + 9, (*sums_8)[2], (*sums_8)[3]);
        write_channel(places, first_channel + 10, (*sums_8)[4], (*sums_8)[5]);
        write_channel(places, first_channel + 11, (*sums_8)[6], (*sums_8)[7]);
        write_channel(places, first_channel + 12, (*sums_8)[8], (*sums_8)[9]);
        write_channel(places, first_channel + 13, (*sums_8)[10], (*sums_8)[11]);
        write_channel(places, first_channel + 14, (*sums_8)[12], (*sums_8)[13]);
        write_channel(places, first_channel + 15, (*sums_8)[14], (*sums_8)[15]);
    }
}
