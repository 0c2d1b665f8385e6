package chunks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// sourceError is an error of the reader that a Put was given: it is returned as it is.
type sourceError struct{ error }

func (r *Repository) system() string {
	if r.options.Target == "" {
		return "chunks in " + r.options.Folder
	}
	return "target " + r.options.Target
}

// fail classifies an error of kopia or of the file system.
func (r *Repository) fail(doing string, err error) error {
	var e *failure.Error
	var s *sourceError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &s):
		return s.error
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	e = &failure.Error{System: r.system(), Doing: doing, Said: words(err), Cause: err}
	var errno syscall.Errno
	switch {
	case errors.Is(err, repo.ErrInvalidPassword):
		e.Code, e.Hint = target.CodeDenied, "it is another repository, or its password was changed: look for the right one in the sealed secrets"
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, blob.ErrBlobNotFound):
		e.Code = target.CodeNotFound
	case errors.As(err, &errno):
		return target.LocalError(r.options.Target, doing, err)
	case errors.Is(err, repo.ErrRepositoryUnavailableDueToUpgradeInProgress):
		e.Code, e.Temporary, e.Hint = target.CodeBusy, true, "kopia upgrades its format: wait, or end it with kopia repository upgrade"
	case newer(err):
		e.Code, e.Hint = target.CodeBadTarget, "a newer kopia or runner wrote it: use a newer runner"
	default:
		e.Code, e.Hint = target.CodeDamaged, "do not trust this repository before it was verified; make the copies again and look at the medium"
	}
	return e
}

// newer recognizes what a later format says. kopia has no types for it.
func newer(err error) bool {
	said := err.Error()
	for _, s := range []string{"can't handle repositories created using version", "This version of Kopia does not support feature",
		"unsupported splitter", "unknown encryption algorithm", "unknown hash function"} {
		if strings.Contains(said, s) {
			return true
		}
	}
	return false
}

// words leaves out what kopia says again and again on the way up.
func words(err error) string {
	parts := strings.Split(err.Error(), ": ")
	seen, out := map[string]bool{}, parts[:0]
	for _, p := range parts {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	said := strings.Join(out, ": ")
	if limit := 400; len(said) > limit {
		said = said[:limit] + "…"
	}
	return said
}

// rescue turns a panic on our stack into an error.
func (r *Repository) rescue(doing string, err *error) {
	if p := recover(); p != nil {
		*err = &failure.Error{Code: target.CodeDamaged, System: r.system(), Doing: doing, Said: fmt.Sprintf("kopia panicked: %v", p),
			Hint: "the repository is damaged in a way that kopia does not expect: make the copies again in a new one"}
	}
}

func (r *Repository) missing(doing, name string) error {
	return &failure.Error{Code: target.CodeNotFound, System: r.system(), Doing: doing + " " + name, Said: "it is not there",
		Cause: fs.ErrNotExist}
}
