package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// rearConf is what the stand-in understands of a local.conf: assignments of words
// in single quotes, and lists of them.
type rearConf struct {
	raw  string
	one  map[string]string
	list map[string][]string
}

func readConf(dir string) (*rearConf, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "local.conf"))
	if err != nil {
		return nil, err
	}
	c := &rearConf{string(raw), map[string]string{}, map[string][]string{}}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSuffix(key, "+")
		if !ok || strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" {
			continue
		}
		if inner, is := strings.CutPrefix(value, "( "); is {
			words, err := split(strings.ReplaceAll(strings.TrimSuffix(inner, " )"), `"$VAR_DIR"`, "/var/lib/rear"))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			c.list[key] = append(c.list[key], words...)
			continue
		}
		if strings.HasPrefix(value, `"$`+key+` `) {
			c.one[key] = strings.TrimSpace(c.one[key] + " " + strings.TrimSuffix(strings.TrimPrefix(value, `"$`+key+` `), `"`))
			continue
		}
		words, err := split(value)
		if err != nil || len(words) > 1 {
			return nil, fmt.Errorf("%s: %q is not a word (%v)", key, value, err)
		}
		c.one[key] = strings.Join(words, "")
	}
	return c, nil
}

// without reports that a device or mount is left out.
func (c *rearConf) without(names ...string) bool {
	for _, n := range names {
		for _, list := range []string{"EXCLUDE_COMPONENTS", "EXCLUDE_RECREATE"} {
			for _, have := range c.list[list] {
				if n != "" && have == n {
					return true
				}
			}
		}
		for _, g := range c.list["EXCLUDE_VG"] {
			if n == "/dev/"+g {
				return true
			}
		}
	}
	return false
}

// leaves reports that the archive leaves a path out.
func (c *rearConf) leaves(path string) bool {
	for _, pattern := range c.list["BACKUP_PROG_EXCLUDE"] {
		if pattern == path || strings.HasSuffix(pattern, "/*") && strings.HasPrefix(path, strings.TrimSuffix(pattern, "*")) {
			return true
		}
	}
	return false
}

// rearLayout writes the layout that recovery goes by, in ReaR's own form.
func rearLayout(list []*Device, c *rearConf) string {
	var b strings.Builder
	b.WriteString("# Disk layout of the lab\n")
	for _, d := range list {
		var own []*Device
		used := false
		walk([]*Device{d}, func(_, child *Device) {
			own = append(own, child)
			m := child.mount()
			used = used || m != "" && !c.without("fs:"+m, child.Path)
		})
		off := !used || c.without(d.Path)
		for _, child := range own {
			for _, line := range layoutLines(d, child) {
				kind, _, _ := strings.Cut(line, " ")
				if off || c.without(child.Path) || kind == "fs" && c.without("fs:"+child.mount()) {
					b.WriteString("#")
				}
				b.WriteString(line + "\n")
			}
		}
	}
	return b.String()
}

func layoutLines(disk, d *Device) (out []string) {
	uuid := ""
	if d.UUID != nil {
		uuid = *d.UUID
	}
	switch d.Type {
	case "disk":
		return []string{fmt.Sprintf("disk %s %d gpt", d.Path, d.Size)}
	case "part":
		out = append(out, fmt.Sprintf("part %s %d 1048576 rear-noname none %s", disk.Path, d.Size, d.Path))
	case "crypt":
		out = append(out, fmt.Sprintf("crypt %s %s1 type=luks2 uuid=%s", d.Path, disk.Path, uuid))
	case "lvm":
		group, volume, _ := strings.Cut(d.Name, "-")
		layout := "linear"
		if volume == "data" {
			layout = "thin,pool"
		}
		out = append(out, fmt.Sprintf("lvmvol /dev/%s %s %db %s", group, volume, d.Size, layout))
	}
	fstype := ""
	if d.FSType != nil {
		fstype = *d.FSType
	}
	switch {
	case fstype == "LVM2_member" && len(d.Children) > 0:
		group, _, _ := strings.Cut(d.Children[0].Name, "-")
		out = append(out, "lvmdev /dev/"+group+" "+d.Path+" "+uuid, "lvmgrp /dev/"+group+" 4096 15103 61861888")
	case fstype == "swap":
		out = append(out, "swap "+d.Path+" uuid="+uuid+" label=")
	case d.mount() != "":
		out = append(out, "fs "+d.Path+" "+d.mount()+" "+fstype+" uuid="+uuid+" label= ")
	}
	return out
}
