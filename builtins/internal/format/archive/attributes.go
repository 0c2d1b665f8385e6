package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// How tar and its relatives name extended attributes in PAX records. The ACLs
// are text, everything else is bytes.
const (
	paxXattr   = "SCHILY.xattr."
	paxACL     = "SCHILY.acl."
	paxSELinux = "RHT.security.selinux"

	aclAttribute = "system.posix_acl_" // the kernel's form
)

func isACL(name string) bool { return name == aclAttribute+"access" || name == aclAttribute+"default" }

// hasRawACL reports that an ACL is there in the kernel's form, too. It has numbers where
// the text of GNU tar has the names of the machine that it was saved on, and counts.
func hasRawACL(e entry, key string) bool {
	which, ok := strings.CutPrefix(key, paxACL)
	_, raw := e.PAXRecords[paxXattr+aclAttribute+which]
	return ok && raw
}

// checkACL refuses bytes that are no ACL of the kernel's form, and returns the
// permissions of the owning group, if they name them.
func checkACL(raw string) (group uint16, err error) {
	b := []byte(raw)
	if len(b) < 4 || (len(b)-4)%8 != 0 || len(b) > 4+8*maxACLEntries || binary.LittleEndian.Uint32(b) != aclVersion {
		return 0, fmt.Errorf("%d bytes are not an ACL", len(b))
	}
	for b = b[4:]; len(b) > 0; b = b[8:] {
		tag, perm := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		if bits.OnesCount16(tag) != 1 || tag > 32 || perm > 7 {
			return 0, fmt.Errorf("acl entry with tag %d and permissions %d is not known", tag, perm)
		}
		if tag == 4 {
			group = perm
		}
	}
	return group, nil
}

func hasAttributes(e entry) bool {
	for key := range e.PAXRecords {
		if name, err := attributeName(key); name != "" || err != nil {
			return true
		}
	}
	return false
}

func recordBytes(e entry) (n int) {
	for key, value := range e.PAXRecords {
		n += len(key) + len(value)
	}
	return n
}

// attributeName returns the attribute that a PAX record stands for, "" for a
// record of another kind, and an error for an attribute that must not come from
// an archive: of the namespaces trusted, system and security, only capabilities
// and ACLs, as vzdump saves them.
func attributeName(key string) (string, error) {
	switch key {
	case paxACL + "access":
		return aclAttribute + "access", nil
	case paxACL + "default":
		return aclAttribute + "default", nil
	case paxSELinux:
		return "", errors.New("labels are not restored")
	}
	name, ok := strings.CutPrefix(key, paxXattr)
	switch {
	case strings.HasPrefix(key, paxACL):
		return "", errors.New("this kind of ACL is not known")
	case !ok:
		return "", nil
	case strings.HasPrefix(name, "user.") || name == "security.capability" || isACL(name):
		return unquoted.Replace(name), nil
	}
	return "", errors.New("attributes of this namespace are not restored")
}

// unquoted undoes what GNU tar does to names: "=" ends the name of a record.
var unquoted = strings.NewReplacer("%3D", "=", "%25", "%")

const (
	maxACLEntries = 1024
	aclVersion    = 2
	aclNoID       = 1<<32 - 1
)

// encodeACL turns the text form of a POSIX ACL (user::rw-,user:1000:r--,...)
// into the kernel's: a version, then tag, permissions and id of each entry,
// little endian and in order. Names need a guest's user database: an entry with a
// name is left out, and named in without; the others stay. A text that is no ACL at
// all is an error.
func encodeACL(text string) (acl []byte, without []string, err error) {
	type item struct {
		tag, perm uint16
		id        uint32
	}
	var items []item
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if len(items) == maxACLEntries {
			return nil, nil, fmt.Errorf("acl has more than %d entries", maxACLEntries)
		}
		parts := strings.Split(line, ":")
		if len(parts) == 4 { // star adds the number behind user:name:rwx
			parts[1], parts = parts[3], parts[:3]
		}
		if len(parts) != 3 {
			return nil, nil, fmt.Errorf("acl entry %.40q has %d fields", line, len(parts))
		}
		perm, err := aclPermissions(parts[2])
		if err != nil {
			return nil, nil, err
		}
		tag, id, err := aclTag(parts[0], parts[1])
		if err == errNoNumber {
			without = append(without, fmt.Sprintf("%.100q", line))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		items = append(items, item{tag, perm, id})
	}
	slices.SortStableFunc(items, func(a, b item) int {
		if a.tag != b.tag {
			return int(a.tag) - int(b.tag)
		}
		return int(int64(a.id) - int64(b.id))
	})
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, i := range items {
		out = binary.LittleEndian.AppendUint16(out, i.tag)
		out = binary.LittleEndian.AppendUint16(out, i.perm)
		out = binary.LittleEndian.AppendUint32(out, i.id)
	}
	return out, without, nil
}

// errNoNumber says that an ACL entry has a name where a number is needed.
var errNoNumber = errors.New("it names a user or group of the guest, and has no number")

// groupBits are the permissions of the group that an entry had: with an ACL the mode
// shows the mask in their place. ok is false where the records hold no ACL.
func groupBits(e entry) (group fs.FileMode, ok bool) {
	if raw, ok := e.PAXRecords[paxXattr+aclAttribute+"access"]; ok {
		perm, err := checkACL(raw)
		if err != nil {
			perm = 0
		}
		return fs.FileMode(perm) << 3, true
	}
	text, ok := e.PAXRecords[paxACL+"access"]
	if !ok {
		return 0, false
	}
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		parts := strings.Split(strings.TrimSpace(line), ":")
		if len(parts) == 3 && parts[1] == "" && (parts[0] == "group" || parts[0] == "g") {
			if perm, err := aclPermissions(parts[2]); err == nil {
				return fs.FileMode(perm) << 3, true
			}
		}
	}
	return 0, true
}

// closedMode is a mode that gives nobody more than the archive does while, or where,
// the ACL beside it does not stand.
func closedMode(e entry) fs.FileMode {
	mode := e.FileInfo().Mode() & modeBits
	if bits, ok := groupBits(e); ok {
		mode = mode&^0o070 | mode&bits
	}
	return mode
}

func aclPermissions(text string) (perm uint16, err error) {
	for _, c := range text {
		switch c {
		case 'r':
			perm |= 4
		case 'w':
			perm |= 2
		case 'x':
			perm |= 1
		case '-':
		default:
			return 0, fmt.Errorf("acl permissions %.40q are not known", text)
		}
	}
	return perm, nil
}

func aclTag(kind, who string) (tag uint16, id uint32, err error) {
	tags := map[string]uint16{"user": 1, "u": 1, "group": 4, "g": 4, "mask": 16, "m": 16, "other": 32, "o": 32}
	tag, ok := tags[kind]
	if !ok {
		return 0, 0, fmt.Errorf("acl entry for %.40q is not known", kind)
	}
	if who == "" {
		return tag, aclNoID, nil
	}
	n, err := strconv.ParseUint(who, 10, 32)
	if tag > 4 {
		return 0, 0, fmt.Errorf("acl entry for %s has a name", kind)
	}
	if errors.Is(err, strconv.ErrRange) {
		return 0, 0, fmt.Errorf("acl entry for %s %.40s has no such number", kind, who)
	}
	if err != nil {
		return 0, 0, errNoNumber
	}
	return tag * 2, uint32(n), nil
}
