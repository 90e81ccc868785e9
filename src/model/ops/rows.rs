//! The decoder's operations on rows of plain slices, into buffers of the caller: for sampling,
//! where a step is too short for tensors.
//!
//! Hides which kernel computes. A row's result depends on that row alone, as long as there are at
//! least two rows: the matrix kernels add in another order for a single one.

use burn::tensor::Tensor;

use super::gemm::{View, gemm};
use super::{rms_norm, swiglu};

/// The longest inner dimension that the matrix kernels are given at once, so that they never
/// choose a cut of their own by the number of rows.
const DEPTH: usize = 512;

/// A parameter's values in host memory, row by row; shared with the tensor where it lies there.
#[derive(Clone, Debug)]
pub struct Values(Held);

#[derive(Clone, Debug)]
enum Held {
    #[cfg(feature = "flex")]
    Shared(burn::backend::tensor::FloatTensor<burn::backend::Flex>),
    Copied(Vec<f32>),
}

impl Values {
    /// The values of `parameter`.
    #[must_use]
    pub fn of<const R: usize>(parameter: &Tensor<R>) -> Self {
        #[cfg(feature = "flex")]
        if let Ok(held) = parameter.clone().try_into_primitive::<burn::backend::Flex>()
            && held.is_contiguous()
            && held.layout().start_offset() == 0
        {
            return Self(Held::Shared(held));
        }
        Self::copied(parameter)
    }

    /// A copy of the values of `parameter`, row by row however they lie.
    #[must_use]
    pub fn copied<const R: usize>(parameter: &Tensor<R>) -> Self {
        let data = parameter.clone().into_data();
        Self(Held::Copied(data.try_into_vec().expect("parameters are f32")))
    }

    /// The values.
    #[must_use]
    pub fn get(&self) -> &[f32] {
        match &self.0 {
            #[cfg(feature = "flex")]
            Held::Shared(held) => {
                let count: usize = held.layout().num_elements();
                &held.storage::<f32>()[..count]
            }
            Held::Copied(values) => values,
        }
    }
}

/// `y = x w`, or `y += x w`; x is \[rows, inputs\], w \[inputs, outputs\].
///
/// # Panics
/// If there are fewer than two rows, or a slice is too short.
pub fn product([rows, outputs, inputs]: [usize; 3], y: &mut [f32], x: &[f32], w: &[f32], accumulate: bool) {
    assert!(rows > 1, "a single row would be added up in another order");
    for from in (0..inputs).step_by(DEPTH) {
        let depth = DEPTH.min(inputs - from);
        let (x, w) = (View::rows(&x[from..], inputs), View::rows(&w[from * outputs..], outputs));
        gemm([rows, outputs, depth], y, outputs, x, w, 1.0, accumulate || from > 0);
    }
}

/// Root-mean-square normalisation of rows as wide as `gain`; `inverse` is scratch, one per row.
pub fn normalise(x: &[f32], gain: &[f32], epsilon: f32, y: &mut [f32], inverse: &mut [f32]) {
    rms_norm::forward(x, gain, epsilon, y, inverse);
}

/// `silu(gate) * up` from packed rows of 2 F values to rows of F.
pub fn gate(packed: &[f32], width: usize, y: &mut [f32]) {
    swiglu::forward(packed, width, y);
}
