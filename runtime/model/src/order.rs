//! An order in which things that need each other can be computed.

use std::collections::BTreeSet;

/// The things so that each comes after those that it needs.
///
/// # Errors
/// A circle: things of which each needs the next, and the last is the first again.
pub(crate) fn order<T: Clone + Ord>(
    things: impl Iterator<Item = T>,
    needs: impl Fn(&T) -> Vec<T>,
) -> Result<Vec<T>, Vec<T>> {
    let mut ordered = Vec::new();
    let mut done = BTreeSet::new();
    for thing in things {
        visit(&thing, &needs, &mut Vec::new(), &mut done, &mut ordered)?;
    }
    Ok(ordered)
}

fn visit<T: Clone + Ord>(
    thing: &T,
    needs: &impl Fn(&T) -> Vec<T>,
    path: &mut Vec<T>,
    done: &mut BTreeSet<T>,
    ordered: &mut Vec<T>,
) -> Result<(), Vec<T>> {
    if done.contains(thing) {
        return Ok(());
    }
    let start = path.iter().position(|before| before == thing);
    path.push(thing.clone());
    if let Some(start) = start {
        return Err(path.split_off(start));
    }
    for needed in needs(thing) {
        visit(&needed, needs, path, done, ordered)?;
    }
    path.pop();
    done.insert(thing.clone());
    ordered.push(thing.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(thing: &u8) -> Vec<u8> {
        match thing {
            1 => vec![2, 3],
            2 => vec![3],
            7 => vec![8],
            8 => vec![9],
            9 => vec![8],
            _ => Vec::new(),
        }
    }

    #[test]
    fn each_comes_after_what_it_needs() {
        assert_eq!(order([1, 2, 3].into_iter(), needs), Ok(vec![3, 2, 1]));
    }

    #[test]
    fn a_circle_is_named() {
        assert_eq!(order([1, 7].into_iter(), needs), Err(vec![8, 9, 8]));
    }
}
