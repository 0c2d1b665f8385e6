package target

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/neosofia/runner/runtime/failure"
)

// system names a target in an error; an error of the artifact itself names none.
func system(target string) string {
	if target == "" {
		return ""
	}
	return named + target
}

const named = "target " // begins the system of an error at a target

// sourceError is a failure of the source: every target has it, none is at fault.
type sourceError struct {
	err   error
	broke bool // while it was read: what was read until then was good
}

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func code(err error) failure.Code { return failure.CodeOf(err) }

func damaged(target, doing, format string, args ...any) *failure.Error {
	return &failure.Error{Code: CodeDamaged, System: system(target), Doing: doing, Said: fmt.Sprintf(format, args...),
		Hint: "do not trust this copy; make it again and look at the medium"}
}

// badTarget is the error for a declaration that cannot work.
func badTarget(target, format string, args ...any) *failure.Error {
	return &failure.Error{Code: CodeBadTarget, System: system(target), Doing: "open target", Said: fmt.Sprintf(format, args...),
		Hint: "correct the target in site.star"}
}

// settled reports an error that needs no classification: ours already, the
// source's, or the caller's wish to stop.
func settled(target string, err error) (error, bool) {
	var e *failure.Error
	var s *sourceError
	switch {
	case err == nil:
		return nil, true
	case errors.As(err, &s), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errRestart),
		errors.Is(err, errNobody):
		return err, true
	case errors.As(err, &e):
		if e == err && e.System == "" && e.Code != failure.Cancelled {
			here := *e // the same error may be met at several targets at once
			here.System = system(target)
			return &here, true
		}
		return err, true
	}
	return err, false
}

var kinds = []struct {
	errno     syscall.Errno
	code      failure.Code
	temporary bool
	hint      string
}{
	{syscall.ENOSPC, CodeFull, false, "free space on the target, or shorten what it keeps"},
	{syscall.EDQUOT, CodeFull, false, "raise the quota, or shorten what the target keeps"},
	{syscall.EFBIG, CodeFull, false, "the file system takes no file of this size: set part_size (2 GiB for FAT)"},
	{syscall.EROFS, CodeReadOnly, false, "see dmesg: a file system turns read-only after errors; run fsck, or mount it writable"},
	{syscall.EACCES, CodeDenied, false, "check the owner and the mode of the target's folder"},
	{syscall.EPERM, CodeDenied, false, "check the owner, the mode and the attributes (lsattr) of the target's folder"},
	{syscall.EIO, CodeMediaAbsent, true, "the medium was taken away or fails: see dmesg"},
	{syscall.ENXIO, CodeMediaAbsent, true, "the medium was taken away: attach it again"},
	{syscall.ENODEV, CodeMediaAbsent, true, "the medium was taken away: attach it again"},
	{syscall.ESTALE, CodeMediaAbsent, true, "the server of this mount forgot it: mount it again"},
	{syscall.EMFILE, CodeDown, false, "this process may have no more files open: LimitNOFILE=65536 in the unit, or ulimit -n"},
	{syscall.ENFILE, CodeDown, false, "this machine may have no more files open: sysctl fs.file-max"},
	{syscall.ENOTCONN, CodeMediaAbsent, true, "the mount broke off: mount it again"},
}

// LocalError classifies an error of a local file system, for stores that lie in one.
func LocalError(target, doing string, err error) error { return localError(target, doing, err) }

// localError classifies an error of a local file system.
func localError(target, doing string, err error) error {
	if err, ok := settled(target, err); ok {
		return err
	}
	e := &failure.Error{Code: CodeDown, System: system(target), Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	var p *fs.PathError
	if errors.As(err, &p) {
		e.Said = p.Err.Error()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Said = errno.Error()
		for _, k := range kinds {
			if k.errno == errno {
				e.Code, e.Temporary, e.Hint = k.code, k.temporary, k.hint
			}
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		e.Code, e.Temporary = CodeNotFound, false
	}
	return e
}

func errorAs[T error](err error) (T, bool) {
	var e T
	ok := errors.As(err, &e)
	return e, ok
}
