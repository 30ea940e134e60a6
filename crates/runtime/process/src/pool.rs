//! How the allocator pools memory: a decision of each program, made in one place.
//!
//! Every conversion is worked on by threads of its own. glibc gives threads pools of their own, too, and a
//! pool keeps what was freed in it: pictures of megabytes, allocated in one pool after the other, so that
//! a longer film, or a longer life of a daemon, took more memory. With one pool for all threads it does
//! not, and no thread waits for it noticeably: what is allocated is large and rare.

/// Has all threads share one pool, unless the environment says how many there are. To be called before
/// any thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn share_pool() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: it sets a number within the allocator, under the allocator's own lock. Where it cannot,
        // it does nothing.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_pool() {}
