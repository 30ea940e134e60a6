//! As much of Python's pickles as a state dict is written in, protocol 2.
//!
//! Values are told apart, nothing is made of them: "call this with that" is kept as a value of its own and
//! can be of two kinds only. Values lie in one list and refer to each other by their places in it, so one that
//! is shared is never copied, and one that is nested deep is built and dropped without recursion.

use std::collections::HashMap;

use candle_core::DType;

use super::refusal::Refusal;

/// Values of a pickle. A state dict has some fifteen for each tensor.
const MAX_VALUES: usize = 1 << 20;
/// What is shown of a name from outside.
const LONGEST_NAME: usize = 120;

/// The place of a value.
pub(super) type Id = u32;

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    Dict,
    /// `torch._utils._rebuild_tensor_v2`.
    Tensor,
    /// `torch.FloatStorage` and its like.
    Storage(DType),
}

/// A value of a pickle.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Text(&'a str),
    Global(Global),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A tensor, by its arguments.
    Tensor(Id),
    /// What lies outside of the pickle, by what it says of it.
    Outside(Id),
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Heap<'a>(Vec<Value<'a>>);

impl<'a> Heap<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.0[id as usize]
    }
}

/// The values of `pickle`, and which of them it is about.
pub(super) fn parse(pickle: &[u8]) -> Result<(Heap<'_>, Id), Refusal> {
    let mut machine = Machine { left: pickle, ..Machine::default() };
    if machine.take(2)? != [0x80, 2] {
        return Err(Refusal::odd("its pickle is not of protocol 2, as torch.save writes it"));
    }
    loop {
        match machine.byte()? {
            b'.' => break,
            code => machine.step(code)?,
        }
    }
    let root = machine.pop()?;
    if !machine.stack.is_empty() || !machine.marks.is_empty() || !machine.left.is_empty() {
        return Err(Refusal::odd("its pickle goes on behind its end"));
    }
    Ok((machine.heap, root))
}

/// Reads instructions one by one.
#[derive(Debug, Default)]
struct Machine<'a> {
    left: &'a [u8],
    heap: Heap<'a>,
    stack: Vec<Id>,
    /// Heights of the stack at which a tuple or the items of a dict began.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, code: u8) -> Result<(), Refusal> {
        match code {
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'J' => self.signed(4),
            b'K' => self.unsigned(1),
            b'M' => self.unsigned(2),
            0x8a => {
                let bytes = self.byte()?;
                self.signed(bytes.into())
            }
            b'X' => self.text(),
            b'c' => self.global(),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b')' => self.tuple(0),
            0x85..=0x87 => self.tuple(usize::from(code - 0x84)),
            b't' => {
                let from = self.mark()?;
                self.tuple(self.stack.len() - from)
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' => self.set(2),
            b'u' => {
                let from = self.mark()?;
                self.set(self.stack.len() - from)
            }
            b'q' => self.put(1),
            b'r' => self.put(4),
            b'h' => self.fetch(1),
            b'j' => self.fetch(4),
            b'Q' => {
                let of = self.pop()?;
                self.push(Value::Outside(of))
            }
            b'R' => self.reduce(),
            b'b' => self.build(),
            // The way of old pickles to call something, which it names at once.
            b'i' => Err(Refusal::Calls(self.name()?)),
            _ => Err(Refusal::odd(format!(
                "its pickle has an instruction {code:#04x}, which no state dict needs"
            ))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let split = self.left.split_at_checked(count);
        let (bytes, left) = split.ok_or_else(|| Refusal::odd("its pickle is cut short"))?;
        self.left = left;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.take(1)?[0])
    }

    /// A number of `bytes` bytes, lowest first.
    fn number(&mut self, bytes: usize) -> Result<u32, Refusal> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte)))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Refusal> {
        if self.heap.0.len() == MAX_VALUES {
            return Err(Refusal::odd(format!("its pickle has more than {MAX_VALUES} values")));
        }
        self.stack.push(self.heap.0.len() as Id);
        self.heap.0.push(value);
        Ok(())
    }

    /// The uppermost value above the last mark.
    fn pop(&mut self) -> Result<Id, Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.len() > floor;
        let top = if above { self.stack.pop() } else { None };
        top.ok_or_else(|| Refusal::odd("its pickle takes a value that is not there"))
    }

    /// The height at which the last mark was set, which is used up.
    fn mark(&mut self) -> Result<usize, Refusal> {
        self.marks.pop().ok_or_else(|| Refusal::odd("its pickle ends what it did not begin"))
    }

    /// The `count` uppermost values, in their order.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, Refusal> {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.pop()?);
        }
        values.reverse();
        Ok(values)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<(), Refusal> {
        let number = self.number(bytes)?;
        self.push(Value::Int(number.into()))
    }

    /// A number in two's complement, of up to 64 bits.
    fn signed(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = self.take(bytes)?;
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        match wide.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(bytes),
            None => return Err(Refusal::odd("its pickle has a number of more than 64 bits")),
        }
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self) -> Result<(), Refusal> {
        let bytes = self.number(4)?;
        let text = std::str::from_utf8(self.take(bytes as usize)?);
        self.push(Value::Text(text.map_err(|_| Refusal::odd("its pickle has text in no UTF-8"))?))
    }

    fn tuple(&mut self, count: usize) -> Result<(), Refusal> {
        let values = self.pop_many(count)?;
        self.push(Value::Tuple(values))
    }

    /// Puts `count` values, keys and theirs in turn, into the dict below them.
    fn set(&mut self, count: usize) -> Result<(), Refusal> {
        let values = self.pop_many(count)?;
        let (pairs, odd) = values.as_chunks::<2>();
        match self.top()? {
            Value::Dict(items) if odd.is_empty() => {
                items.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err(Refusal::odd("its pickle fills something that is no dict")),
        }
    }

    fn top(&mut self) -> Result<&mut Value<'a>, Refusal> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.heap.0[id as usize])
    }

    fn put(&mut self, bytes: usize) -> Result<(), Refusal> {
        let (key, id) = (self.number(bytes)?, self.pop()?);
        self.stack.push(id);
        self.memo.insert(key, id);
        if self.memo.len() > MAX_VALUES {
            return Err(Refusal::odd(format!(
                "its pickle remembers more than {MAX_VALUES} values"
            )));
        }
        Ok(())
    }

    fn fetch(&mut self, bytes: usize) -> Result<(), Refusal> {
        let key = self.number(bytes)?;
        let id = self.memo.get(&key).copied();
        self.stack.push(id.ok_or_else(|| Refusal::odd("its pickle recalls what it never kept"))?);
        Ok(())
    }

    /// A module and a name in it, a line each.
    fn name(&mut self) -> Result<String, Refusal> {
        let (module, name) = (self.line()?, self.line()?);
        let name = format!("{}.{}", String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        Ok(name.escape_debug().take(LONGEST_NAME).collect())
    }

    fn line(&mut self) -> Result<&'a [u8], Refusal> {
        let length = self.left.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or_else(|| Refusal::odd("its pickle is cut short"))?;
        Ok(&self.take(length + 1)?[..length])
    }

    fn global(&mut self) -> Result<(), Refusal> {
        let name = self.name()?;
        let global = match name.as_str() {
            "collections.OrderedDict" => Global::Dict,
            "torch._utils._rebuild_tensor_v2" => Global::Tensor,
            "torch.FloatStorage" => Global::Storage(DType::F32),
            "torch.HalfStorage" => Global::Storage(DType::F16),
            "torch.BFloat16Storage" => Global::Storage(DType::BF16),
            "torch.LongStorage" => Global::Storage(DType::I64),
            _ => return Err(Refusal::Calls(name)),
        };
        self.push(Value::Global(global))
    }

    /// What a call would return, of the two that are known.
    fn reduce(&mut self) -> Result<(), Refusal> {
        let (arguments, of) = (self.pop()?, self.pop()?);
        match (self.heap.get(of), self.heap.get(arguments)) {
            (Value::Global(Global::Dict), Value::Tuple(none)) if none.is_empty() => {
                self.push(Value::Dict(Vec::new()))
            }
            (Value::Global(Global::Tensor), Value::Tuple(_)) => self.push(Value::Tensor(arguments)),
            _ => Err(Refusal::odd("its pickle calls something that cannot be called so")),
        }
    }

    /// Attributes of a dict, such as the versions of its modules, say nothing of the tensors.
    fn build(&mut self) -> Result<(), Refusal> {
        let attributes = self.pop()?;
        let plain = matches!(self.heap.get(attributes), Value::Dict(_));
        match self.top()? {
            Value::Dict(_) if plain => Ok(()),
            _ => Err(Refusal::odd("its pickle gives attributes to something that is no dict")),
        }
    }
}
