//! `edgesvc run`: opens, wires, starts and stops the rooms in order.
