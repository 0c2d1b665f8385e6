package proxmox

import (
	"bufio"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// conf is a guest's configuration file: comment lines (the description, stored
// percent-encoded by PVE, kept as they are here) and "key: value" lines.
type conf struct {
	comments []string // without the leading "#"
	keys     map[string]string
}

var confLine = regexp.MustCompile(`^([a-z][a-z_\-]*\d*):\s*(.*?)\s*$`)

// parseConf reads a configuration up to its first snapshot section.
func parseConf(text string) (*conf, error) {
	c := &conf{keys: map[string]string{}}
	scan := bufio.NewScanner(strings.NewReader(text))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		line := scan.Text()
		if strings.HasPrefix(line, "[") {
			break
		}
		if rest, ok := strings.CutPrefix(line, "#"); ok {
			c.comments = append(c.comments, plain(rest))
			continue
		}
		if m := confLine.FindStringSubmatch(line); m != nil {
			c.keys[m[1]] = m[2]
		} else if strings.TrimSpace(line) != "" {
			return nil, fmt.Errorf("parse configuration: line %q is no \"key: value\"", line)
		}
	}
	return c, scan.Err()
}

// text prints the configuration as PVE does: comments first, keys sorted.
func (c *conf) text() string {
	var b strings.Builder
	for _, line := range c.comments {
		b.WriteString("#" + escaped(line) + "\n")
	}
	for _, key := range c.sorted() {
		b.WriteString(key + ": " + c.keys[key] + "\n")
	}
	return b.String()
}

// escaped writes a line of the description as Proxmox keeps it: everything but plain
// ASCII, "%" and ":" too, with percent signs. The map of a backup's disks stands so.
func escaped(line string) string {
	if strings.HasPrefix(line, "qmdump#") {
		return line
	}
	var b strings.Builder
	for i := range len(line) {
		if c := line[i]; c < 0x20 || c > 0x7e || c == '%' || c == ':' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func plain(line string) string {
	if text, err := url.PathUnescape(line); err == nil {
		return text
	}
	return line
}

func (c *conf) sorted() []string {
	keys := make([]string, 0, len(c.keys))
	for key := range c.keys {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func (c *conf) clone() *conf {
	d := &conf{comments: append([]string(nil), c.comments...), keys: map[string]string{}}
	for k, v := range c.keys {
		d.keys[k] = v
	}
	return d
}

func (c *conf) digest() string {
	sum := sha1.Sum([]byte(c.text()))
	return hex.EncodeToString(sum[:])
}

// int reads a key as a number, or gives def.
func (c *conf) int(key string, def int64) int64 {
	if n, err := strconv.ParseInt(c.keys[key], 10, 64); err == nil {
		return n
	}
	return def
}

// api is the configuration as GET …/config answers it: what the schema calls
// an integer or a boolean is a number, everything else a string.
func (c *conf) api(m *method) map[string]any {
	out := map[string]any{"digest": c.digest()}
	if len(c.comments) > 0 {
		out["description"] = strings.Join(c.comments, "\n")
		if c.keys["rootfs"] != "" { // a container's ends with its line
			out["description"] = strings.Join(c.comments, "\n") + "\n"
		}
	}
	for key, v := range c.keys {
		out[key] = v
		p := m.lookup(key)
		if p == nil || (p.Type != "integer" && p.Type != "boolean" && p.Type != "number") {
			continue
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			out[key] = n
		}
	}
	return out
}

// props is a property string: an optional first value without key, then
// key=value pairs in their order.
type props struct {
	first string
	pairs [][2]string
}

func parseProps(s string) props {
	var p props
	for i, part := range strings.Split(s, ",") {
		key, value, named := strings.Cut(part, "=")
		if !named && i == 0 {
			p.first = part
			continue
		}
		p.pairs = append(p.pairs, [2]string{key, value})
	}
	return p
}

func (p props) get(key string) string {
	for _, kv := range p.pairs {
		if kv[0] == key {
			return kv[1]
		}
	}
	return ""
}

func (p *props) set(key, value string) {
	for i, kv := range p.pairs {
		if kv[0] == key {
			p.pairs[i][1] = value
			return
		}
	}
	p.pairs = append(p.pairs, [2]string{key, value})
}

func (p props) String() string {
	var parts []string
	if p.first != "" {
		parts = append(parts, p.first)
	}
	for _, kv := range p.pairs {
		parts = append(parts, kv[0]+"="+kv[1])
	}
	return strings.Join(parts, ",")
}

var diskKey = regexp.MustCompile(`^(?:(?:ide|scsi|virtio|sata)\d+|efidisk0|tpmstate0)$`)
var mountKey = regexp.MustCompile(`^(?:rootfs|mp\d+)$`)

// disk is one volume, or bind mount, of a guest.
type disk struct {
	key   string // "scsi0", "rootfs", "mp0"
	volid string // "local:100/vm-100-disk-0.raw", or a path for a bind mount
	props props
}

// backup reports whether vzdump takes the disk.
func (d disk) backup() bool {
	if mountKey.MatchString(d.key) && d.key != "rootfs" {
		return d.props.get("backup") == "1" && !d.bind()
	}
	return d.props.get("backup") != "0" && !d.cdrom()
}

func (d disk) cdrom() bool { return d.props.get("media") == "cdrom" }
func (d disk) bind() bool  { return strings.HasPrefix(d.volid, "/") }

// mount is where a container's volume appears inside it.
func (d disk) mount() string {
	if d.key == "rootfs" {
		return "/"
	}
	return d.props.get("mp")
}

// disks lists the volumes in the order in which PVE walks them.
func (c *conf) disks() []disk {
	var out []disk
	for key, v := range c.keys {
		if diskKey.MatchString(key) || mountKey.MatchString(key) {
			p := parseProps(v)
			if p.first == "" {
				p.first = p.get("volume") + p.get("file")
			}
			out = append(out, disk{key: key, volid: p.first, props: p})
		}
	}
	sort.Slice(out, func(i, j int) bool { return diskRank(out[i].key) < diskRank(out[j].key) })
	return out
}

func diskRank(key string) string {
	for i, prefix := range []string{"rootfs", "mp", "ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"} {
		if n, ok := strings.CutPrefix(key, prefix); ok {
			return fmt.Sprintf("%d%4s", i, n)
		}
	}
	return key
}

// parseSize reads "48M", "1G" or a number of bytes.
func parseSize(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	unit := int64(1)
	switch s[len(s)-1] {
	case 'K':
		unit = 1 << 10
	case 'M':
		unit = 1 << 20
	case 'G':
		unit = 1 << 30
	case 'T':
		unit = 1 << 40
	}
	if unit > 1 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<50)/unit {
		return 0, false
	}
	return n * unit, true
}

// formatSize prints a size as PVE does in a configuration: the largest unit
// that divides it.
func formatSize(n int64) string {
	units := []string{"", "K", "M", "G", "T"}
	i := 0
	for i < len(units)-1 && n != 0 && n%1024 == 0 {
		n /= 1024
		i++
	}
	return strconv.FormatInt(n, 10) + units[i]
}
