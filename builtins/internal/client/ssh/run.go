package ssh

import (
	"context"
	"errors"
	"io"

	"golang.org/x/crypto/ssh"
)

// Run runs a line of the account's shell to its end. Its errors are those of
// golang.org/x/crypto/ssh: *ssh.ExitError for a status or signal. When ctx ends
// the program gets SIGTERM, and the session is closed. *SilentError is the host's.
func (s *Session) Run(ctx context.Context, line string, in io.Reader, out, errs io.Writer) error {
	var session *ssh.Session
	err := s.expect(func() (err error) {
		session, err = s.conn.NewSession()
		return err
	})
	if err != nil {
		return s.silent(err)
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = in, out, errs
	if err := s.expect(func() error { return session.Start(line) }); err != nil {
		return s.silent(err)
	}
	done := make(chan error, 1)
	go func() { done <- session.Wait() }()
	select {
	case err := <-done:
		return s.silent(err)
	case <-ctx.Done():
		_ = session.Signal(ssh.SIGTERM) // some servers do not know it; closing ends it too
		session.Close()
		return context.Cause(ctx)
	}
}

// silent is the watch's reason, where it ended the connection below a command: the
// end of SFTP alone is none.
func (s *Session) silent(err error) error {
	var e *SilentError
	if errors.As(s.Why(err), &e) {
		return e
	}
	return err
}
