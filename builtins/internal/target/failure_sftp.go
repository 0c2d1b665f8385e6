package target

import (
	"strings"

	"github.com/pkg/sftp"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/runtime/failure"
)

// reasons are what servers answer a refused request with: a code of a later
// version of the protocol, or their system's words beside the code for failure.
var reasons = []struct {
	number uint32 // 0: none
	words  string
	code   failure.Code
	hint   string
}{
	{14, "no space left", CodeFull, "free space on the target, or shorten what it keeps"},
	{15, "quota exceeded", CodeFull, "raise the quota, or shorten what the target keeps"},
	{12, "read-only file system", CodeReadOnly, "see dmesg on the server"},
	{0, "permission denied", CodeDenied, "check what the account may do there"},
	{0, "operation not permitted", CodeDenied, "check what the account may do there, and the attributes (lsattr) of the target's folder"},
}

// failure finds out what "failure" means, which is all that OpenSSH says of a
// full or read-only disk, of a quota, and of a name that is taken.
func (s *sftpStore) failure(conn *ssh.Session, e *failure.Error, status *sftp.StatusError) {
	e.Code, e.Temporary = CodeFailed, false
	said := strings.ToLower(status.Error())
	for _, r := range reasons {
		if r.number != 0 && status.Code == r.number || strings.Contains(said, r.words) {
			e.Code, e.Hint = r.code, r.hint
			return
		}
	}
	if status.Code != uint32(sftp.ErrSSHFxFailure) {
		return // the server cannot do that at all, and says so
	}
	space := "a full disk (df), "
	if v, err := conn.StatVFS(s.base); err == nil {
		switch {
		case v.Flag&1 != 0:
			e.Code, e.Said, e.Hint = CodeReadOnly, "the server's disk is read-only", "see dmesg on the server"
			return
		case v.Frsize*v.Bavail < 8<<20 || v.Files > 0 && v.Favail == 0:
			e.Code, e.Said, e.Hint = CodeFull, "the server's disk is full", "free space on the target, or shorten what it keeps"
			return
		}
		space = "" // there is some
	}
	if strings.Contains(said, `"failure"`) || strings.Contains(said, `""`) {
		e.Said = "the server gives no reason: " + e.Said
	}
	e.Hint = "look on the server for " + space + "a quota that is used up (quota), a name that is taken (a folder where a file is to be, " +
		"or the reverse)"
}
