package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// HostKeyError says that a server has another key than the site states.
type HostKeyError struct{ Host, Seen string }

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("the host key of %s is not the one in the site; it presents %s", e.Host, e.Seen)
}

// AuthError says that the server refused our key.
type AuthError struct{ Address, Said string }

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s refuses the key: %s", e.Address, e.Said)
}

// KeyError says that our private key is none. It never says what it is.
type KeyError struct{ Address string }

func (e *KeyError) Error() string {
	return fmt.Sprintf("read the private key for %s: it cannot be parsed, or has a passphrase", e.Address)
}

// SilentError says that a server accepted us and then sent nothing more.
type SilentError struct{ After time.Duration }

func (e *SilentError) Error() string {
	return fmt.Sprintf("the host fell silent: it has not answered for %s", e.After)
}

// Hint is what can be done about it.
func (*SilentError) Hint() string {
	return "it takes connections and then says nothing: look at its console for a hung disk or too much load, and at firewalls between"
}

// LostError says that the connection could not be made, or ended, and why.
type LostError struct{ Cause error }

func (e *LostError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// Broken reports whether an error is of the connection, not of what was asked over it.
func Broken(err error) bool {
	var system net.Error
	return errors.As(err, new(*LostError)) || errors.As(err, new(*SilentError)) || errors.As(err, &system) ||
		errors.As(err, new(*ssh.ExitMissingError)) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, sftp.ErrSSHFxConnectionLost) ||
		errors.Is(err, sftp.ErrSSHFxNoConnection)
}

// Full reports whether a disk or a quota is full, here or on the server: the protocol has
// codes for it only in a later version, so that servers say it in words beside "failure".
func Full(err error) bool {
	var status *sftp.StatusError
	if errors.As(err, &status) {
		said := strings.ToLower(status.Error())
		return status.Code == 14 || status.Code == 15 || strings.Contains(said, "no space left") || strings.Contains(said, "quota exceeded")
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// NoiseError says that text came where SFTP was to come: what an account's shell
// start files print, or why it may not log in.
type NoiseError struct {
	Text string
	Late bool // after SFTP had begun
}

func (e *NoiseError) Error() string {
	where := "before"
	if e.Late {
		where = "into"
	}
	return fmt.Sprintf("the account's login prints text %s the SFTP protocol: %q", where, e.Text)
}

// Hint is what can be done about it.
func (*NoiseError) Hint() string {
	return "silence its shell start files (.bashrc, .profile, .cshrc) for logins without a terminal, or set ForceCommand internal-sftp for " +
		"it in sshd_config"
}

// NoSFTPError says that the server refuses to start SFTP.
type NoSFTPError struct{ Said string }

func (e *NoSFTPError) Error() string { return "the server does not start SFTP: " + e.Said }

// Hint is what can be done about it.
func (*NoSFTPError) Hint() string {
	return "add \"Subsystem sftp internal-sftp\" to the server's sshd_config, and see that the account may use it"
}

// noWordError says that what the login starts ended and printed nothing.
type noWordError struct{}

func (*noWordError) Error() string {
	return "the account's login ends before SFTP answers, and says nothing"
}

// Hint is what can be done about it.
func (*noWordError) Hint() string {
	return "sshd's log on the server says why; an account whose shell is /bin/false needs ForceCommand internal-sftp"
}

// printable is the first line of a text, for a message.
func printable(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(b), "?")), "\n")
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(line))
	if r := []rune(line); len(r) > 120 {
		line = string(r[:120]) + "…"
	}
	return line
}

// NoSFTP reports that a login worked and led to something else.
func NoSFTP(err error) bool {
	return errors.As(err, new(*NoiseError)) || errors.As(err, new(*NoSFTPError))
}

// HintOf is what an error itself knows to advise.
func HintOf(err error) string {
	var e interface{ Hint() string }
	if errors.As(err, &e) {
		return e.Hint()
	}
	return ""
}
