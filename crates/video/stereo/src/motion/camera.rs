//! What the camera did: the motion that explains the background.
//!
//! An affine model fitted to the block motion by reweighted least squares, where blocks that are
//! likely background (high in the frame, near its sides) count more to begin with. What does not
//! follow it either moves by itself or stands in front, and both should come forward.

use super::flow::Flow;

/// `(dx, dy)` as affine functions of the position relative to the frame's centre and width.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Camera {
    x: [f64; 3],
    y: [f64; 3],
}

/// Residual, in working samples, from which a block is an outlier.
const SOFT_LIMIT: f64 = 0.5;
const ROUNDS: usize = 6;

impl Camera {
    pub(crate) fn fit(flow: &Flow) -> Self {
        let mut camera = Camera::default();
        for round in 0..ROUNDS {
            let mut normal = [[0.0f64; 3]; 3];
            let (mut bx, mut by) = ([0.0f64; 3], [0.0f64; 3]);
            // Keeps the model still where there is no texture at all.
            for (i, row) in normal.iter_mut().enumerate() {
                row[i] = 1e-3;
            }
            for (index, block) in flow.blocks.iter().enumerate() {
                let (column, row) = (index % flow.columns, index / flow.columns);
                let basis = basis(flow, column, row);
                let mut weight = prior(flow, column, row) * f64::from(block.corner.min(0.05));
                if round > 0 {
                    let (ex, ey) = camera.offset(basis);
                    let (rx, ry) = (f64::from(block.dx) - ex, f64::from(block.dy) - ey);
                    let r2 = (rx * rx + ry * ry) / (SOFT_LIMIT * SOFT_LIMIT);
                    // Geman-McClure, approached gradually.
                    let r2 = if round < 3 { r2 * 0.1 } else { r2 };
                    weight /= (1.0 + r2) * (1.0 + r2);
                }
                for i in 0..3 {
                    for j in 0..3 {
                        normal[i][j] += weight * basis[i] * basis[j];
                    }
                    bx[i] += weight * basis[i] * f64::from(block.dx);
                    by[i] += weight * basis[i] * f64::from(block.dy);
                }
            }
            camera = Camera { x: solve(normal, bx), y: solve(normal, by) };
        }
        camera
    }

    fn offset(&self, basis: [f64; 3]) -> (f64, f64) {
        let dot = |c: &[f64; 3]| c[0] * basis[0] + c[1] * basis[1] + c[2] * basis[2];
        (dot(&self.x), dot(&self.y))
    }

    /// The offset that the camera's motion gives block `index`, in working samples.
    pub(crate) fn expected(&self, flow: &Flow, index: usize) -> (f32, f32) {
        let (x, y) = self.offset(basis(flow, index % flow.columns, index / flow.columns));
        (x as f32, y as f32)
    }
}

fn basis(flow: &Flow, column: usize, row: usize) -> [f64; 3] {
    let scale = 1.0 / flow.columns.max(flow.rows) as f64;
    let x = (column as f64 - (flow.columns - 1) as f64 / 2.0) * scale;
    let y = (row as f64 - (flow.rows - 1) as f64 / 2.0) * scale;
    [1.0, x, y]
}

/// How likely a block is background before anything moved.
fn prior(flow: &Flow, column: usize, row: usize) -> f64 {
    let up = 1.0 - row as f64 / flow.rows as f64;
    let side = (2.0 * (column as f64 + 0.5) / flow.columns as f64 - 1.0).abs();
    0.2 + 0.5 * up + 0.3 * side * side
}

/// Solves a symmetric positive definite 3x3 system by Cramer's rule.
fn solve(m: [[f64; 3]; 3], b: [f64; 3]) -> [f64; 3] {
    let det = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = det(&m);
    let mut out = [0.0; 3];
    for (k, value) in out.iter_mut().enumerate() {
        let mut replaced = m;
        for (row, &b) in replaced.iter_mut().zip(&b) {
            row[k] = b;
        }
        *value = det(&replaced) / whole;
    }
    out
}
