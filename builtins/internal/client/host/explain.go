package host

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/runtime/failure"
)

// Explain words an error of a host for the operator. What is worded already stays as it is.
func Explain(name, doing string, err error) error {
	if err == nil {
		return nil
	}
	var own *failure.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &failure.Error{Code: CodeFailed, System: strings.TrimSpace("host " + name), Doing: doing, Said: err.Error(), Cause: err}
	var exit *ExitError
	switch {
	case errors.As(err, new(*ssh.HostKeyError)):
		e.Code, e.Hint = ssh.CodeHostKey, "if the host was installed anew, compare the key on its console and put it into site.star; if not, "+
			"somebody is in between"
	case errors.As(err, new(*ssh.AuthError)):
		e.Code, e.Hint = CodeAuth, "put the public key into that account's authorized_keys, or set the right private key: runner secret set NAME"
	case ssh.NoSFTP(err):
		e.Code = CodeNoSFTP
	case errors.Is(err, ErrNoProgram):
		e.Code, e.Hint = CodeProgram, "install it on the host"
	case errors.As(err, &exit), errors.Is(err, ErrTooMuch), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission),
		errors.As(err, new(*KilledError)):
	case ssh.Broken(err):
		e.Code, e.Temporary, e.Hint = CodeDown, true, "is the host up, and does its sshd listen there?"
	}
	if hint := ssh.HintOf(err); hint != "" {
		e.Hint = hint
	}
	return e
}
