// The sums of kernels that compute patches of 8 pixels by up to 16 channels. In front of this comes shared/weights.wgsl or
// shared/weights_subgroup.wgsl.

const PIXELS: i32 = 8;

// The sums of 8 channels: of each, the low 4 pixels and the high 4. No index may be a variable as long as they grow, or
// they leave the registers.
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

// Adds sums that were added up by themselves, so that long ones do not round more than they must.
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
