package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Archives as they are found in the field.
func TestArchivesFromTheField(t *testing.T) {
	names := map[string]string{"acl": "vzdump-lxc-101-2026_11_28-05_00_00.tar.zst", "long": "vzdump-lxc-101-2026_11_28-05_00_31.tar.zst", "padded": "vzdump-lxc-101-2026_11_28-05_00_43.tar.gz"}

	// A window of 2 GiB is no damage.
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
	told := strings.Join(report.Skipped, "\n")
	if !strings.Contains(told, "www-data") {
		t.Errorf("the ACL entry with a name is not told: %q", told)
	}
	if strings.Contains(told, "operation not supported") || os.Geteuid() != 0 {
		t.Skipf("this file system has no attributes: %q", told)
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
	} {
		e := file("a", "x")
		e.Mode = c.mode
		if c.acl != "" {
			e.PAXRecords = map[string]string{"SCHILY.acl.access": c.acl}
		}
		if got := closedMode(entry{Header: &e.Header}); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
