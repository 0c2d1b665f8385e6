package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Archives as they are found in the field.
func TestArchivesFromTheField(t *testing.T) {
	names := map[string]string{"acl": "vzdump-lxc-101-2026_11_28-05_00_00.tar.zst", "long": "vzdump-lxc-101-2026_11_28-05_00_31.tar.zst",
		"padded": "vzdump-lxc-101-2026_11_28-05_00_43.tar.gz"}

	// A window of 2 GiB is not a damage.
	_, err := check(names["long"], sample(t, names["long"]))
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "zstd -d --long=31") || strings.Contains(err.Error(), "damaged") {
		t.Errorf("a window of 2^31: got %v", err)
	}
	// Zeros behind the last member are padding.
	if _, err := check(names["padded"], sample(t, names["padded"])); err != nil {
		t.Errorf("zeros behind: got %v", err)
	}

	// An ACL that names a user: the rest of it stays, and the group gets no more than it had.
	into := t.TempDir()
	report, err := ExtractTree(context.Background(), names["acl"], bytes.NewReader(sample(t, names["acl"])), into, Options{SkipDevices: true})
	if err != nil {
		t.Fatal(err)
	}
	reported := strings.Join(report.Skipped, "\n")
	if !strings.Contains(reported, "www-data") {
		t.Errorf("the ACL entry with a name is not told: %q", reported)
	}
	if strings.Contains(reported, "operation not supported") || os.Geteuid() != 0 {
		t.Skipf("this file system has no attributes: %q", reported)
	}
	found := map[string]bool{}
	if err := filepath.Walk(into, func(path string, fi os.FileInfo, err error) error {
		if err != nil || !fi.Mode().IsRegular() {
			return err
		}
		if got := attribute(path, "user.k=v"); got != "no data available" {
			found["user.k=v"] = true
		}
		if got := attribute(path, "user.empty"); got == "" {
			found["user.empty"] = true
		}
		if acl := attribute(path, "system.posix_acl_access"); strings.Contains(acl, "04000400ffffffff") { // group::r--
			found["group"] = true
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"user.k=v", "user.empty", "group"} {
		if !found[want] {
			t.Errorf("%s did not come back", want)
		}
	}
}

// Where an ACL cannot be set, the mode beside it, whose group bits are the mask, gives
// the group no more than the ACL does.
func TestAModeIsNeverWiderThanItsACL(t *testing.T) {
	for name, c := range map[string]struct {
		acl  string
		mode int64
		want os.FileMode
	}{
		"a mask wider than the group": {"user::rw-,user:joe:rw-,group::r--,mask::rw-,other::---", 0o660, 0o640},
		"a group wider than the mask": {"user::rw-,user:joe:r--,group::rwx,mask::r--,other::---", 0o640, 0o640},
		"no ACL":                      {"", 0o664, 0o664},
		"no group in it":              {"user::rw-,mask::rw-", 0o660, 0o600},
		"the kernel's form counts":    {rawACL(1, 6, noID, 2, 7, 4321, 4, 4, noID, 16, 6, noID, 32, 0, noID), 0o660, 0o640},
		"the kernel's form, damaged":  {rawACL(1, 6, noID, 99, 7, noID), 0o660, 0o600},
	} {
		e := file("a", "x")
		e.Mode = c.mode
		if c.acl != "" {
			e.PAXRecords = map[string]string{"SCHILY.acl.access": c.acl}
		}
		if strings.HasPrefix(c.acl, "\x02\x00") {
			e.PAXRecords = map[string]string{"SCHILY.acl.access": "user::rw-,user:joe:rw-,group::rw-,mask::rw-,other::---",
				"SCHILY.xattr.system.posix_acl_access": c.acl}
		}
		if got := closedMode(entry{Header: &e.Header}); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

const noID = 1<<32 - 1

// rawACL is an ACL in the kernel's form, of a tag, permissions and a number each.
func rawACL(fields ...uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for i := 0; i+2 < len(fields); i += 3 {
		b = binary.LittleEndian.AppendUint16(b, uint16(fields[i]))
		b = binary.LittleEndian.AppendUint16(b, uint16(fields[i+1]))
		b = binary.LittleEndian.AppendUint32(b, fields[i+2])
	}
	return string(b)
}

// GNU tar writes an ACL with the names of its machine, and with --xattrs in the kernel's
// form, too: the numbers of that come back.
func TestAnACLInTheKernelsFormComesBackByNumber(t *testing.T) {
	e := file("a", "x")
	raw := rawACL(1, 6, noID, 2, 4, 4321, 4, 4, noID, 16, 4, noID, 32, 0, noID)
	e.PAXRecords = map[string]string{"SCHILY.acl.access": "user::rw-,user:joe:r--,group::r--,mask::r--,other::---",
		"SCHILY.xattr.system.posix_acl_access": raw}
	bad := file("b", "x")
	bad.PAXRecords = map[string]string{"SCHILY.xattr.system.posix_acl_access": "\x02\x00\x00\x00half"}
	into := t.TempDir()
	report, err := ExtractTree(context.Background(), "a.tar", bytes.NewReader(tarOf(t, e, bad)), into, Options{})
	if err != nil || !strings.Contains(strings.Join(report.Skipped, "\n"),
		`"b": attribute SCHILY.xattr.system.posix_acl_access: 8 bytes are not an ACL`) ||
		strings.Contains(strings.Join(report.Skipped, "\n"), "joe") {
		t.Fatalf("got %q, %v", report.Skipped, err)
	}
	got := make([]byte, 100)
	n, err := unix.Getxattr(filepath.Join(into, "a"), "system.posix_acl_access", got)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this file system keeps no ACLs")
	}
	if err != nil || string(got[:n]) != raw {
		t.Errorf("got %x, %v, want %x", got[:max(n, 0)], err, raw)
	}
}
