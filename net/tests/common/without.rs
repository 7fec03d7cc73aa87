//! A thread that a filter hides one system call from.
//!
//! Promises: the filter goes with its thread. Refuses: to let a call pass that was hidden.
#![allow(dead_code)] // each test file uses a part

/// Makes one system call fail with `code`, for this thread and as long as it lives.
fn refuse(call: libc::c_long, code: i32) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut program = [
        statement(load, 0, 0, std::mem::offset_of!(libc::seccomp_data, nr) as u32),
        statement(equal, 0, 1, call as u32),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | code as u32),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    filter(&mut program);
}

/// Lets `program` answer every system call of this thread, as long as it lives.
pub(crate) fn filter(program: &mut [libc::sock_filter]) {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: no pointers are passed.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: `program` and its statements are alive; the kernel copies them.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Does `work` in a thread of its own, which a filter hides one system call from.
pub(crate) fn without<T: Send>(call: libc::c_long, code: i32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = scope.spawn(move || {
            refuse(call, code);
            work()
        });
        work.join().expect("the work ends")
    })
}
