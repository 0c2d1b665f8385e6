package cloudflare

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// files says where the lists and objects of the templates lie.
var files = map[string]string{
	"/accounts":                                                         "accounts",
	"/zones":                                                            "zones",
	"/zones/{zone_id}/dns_records":                                      "zones/{zone_id}/dns_records",
	"/zones/{zone_id}/dnssec":                                           "zones/{zone_id}/dnssec",
	"/zones/{zone_id}/dns_settings":                                     "zones/{zone_id}/dns_settings",
	"/zones/{zone_id}/settings":                                         "zones/{zone_id}/settings",
	"/zones/{zone_id}/pagerules":                                        "zones/{zone_id}/pagerules",
	"/zones/{zone_id}/rulesets":                                         "zones/{zone_id}/rulesets",
	"/zones/{zone_id}/firewall/access_rules/rules":                      "zones/{zone_id}/access_rules",
	"/accounts/{account_id}/rulesets":                                   "accounts/{account_id}/rulesets",
	"/accounts/{account_id}/firewall/access_rules/rules":                "accounts/{account_id}/access_rules",
	"/accounts/{account_id}/rules/lists":                                "accounts/{account_id}/lists",
	"/accounts/{account_id}/rules/lists/{list_id}/items":                "accounts/{account_id}/items-{list_id}",
	"/accounts/{account_id}/cfd_tunnel":                                 "accounts/{account_id}/cfd_tunnel",
	"/accounts/{account_id}/cfd_tunnel/{tunnel_id}/configurations":      "accounts/{account_id}/configurations-{tunnel_id}",
	"/accounts/{account_id}/teamnet/routes":                             "accounts/{account_id}/routes",
	"/accounts/{account_id}/teamnet/virtual_networks":                   "accounts/{account_id}/virtual_networks",
	"/zones/{zone_id}/rulesets/{ruleset_id}":                            "zones/{zone_id}/rulesets",
	"/zones/{zone_id}/rulesets/phases/{ruleset_phase}/entrypoint":       "zones/{zone_id}/rulesets",
	"/accounts/{account_id}/rulesets/{ruleset_id}":                      "accounts/{account_id}/rulesets",
	"/accounts/{account_id}/rulesets/phases/{ruleset_phase}/entrypoint": "accounts/{account_id}/rulesets",
	"/zones/{zone_id}/settings/{setting_id}":                            "zones/{zone_id}/settings",
}

// perPage is the default and the most entries of a page, where they are not 20
// and 1000.
var perPage = map[string][2]int{
	"/zones":                       {20, 50},
	"/zones/{zone_id}/dns_records": {100, 5_000_000},
	"/accounts":                    {20, 50},
}

func (s *Server) play(w http.ResponseWriter, q *request) error {
	switch q.template {
	case "/user/tokens/verify":
		s.good(w, Object{"id": tokenID, "status": "active"}, nil)
		return nil
	case "/zones/{zone_id}":
		return s.one(w, "zones.json", func(o Object) bool { return o["id"] == q.vars["zone_id"] })
	case "/zones/{zone_id}/dns_records/export":
		return s.export(w, q)
	}
	name := files[q.template] + ".json"
	for k, v := range q.vars {
		if strings.ContainsAny(v, "./\\") {
			return &failure{status: 400, code: 7003, text: "invalid identifier"}
		}
		name = strings.ReplaceAll(name, "{"+k+"}", v)
	}
	switch {
	case q.vars["ruleset_id"] != "":
		return s.one(w, name, func(o Object) bool { return o["id"] == q.vars["ruleset_id"] })
	case q.vars["setting_id"] != "":
		return s.one(w, name, func(o Object) bool { return o["id"] == q.vars["setting_id"] })
	case q.vars["ruleset_phase"] != "":
		return s.one(w, name, func(o Object) bool {
			return o["phase"] == q.vars["ruleset_phase"] && (o["kind"] == "zone" || o["kind"] == "root")
		})
	}
	c, err := s.state.load(name)
	if err != nil {
		return err
	}
	e := s.schema.Paths[q.template]
	if e.Paging == "" {
		s.good(w, json.RawMessage(c.data), nil)
		return nil
	}
	list, err := s.chosen(q, c.list)
	if err != nil {
		return err
	}
	return s.list(w, q, e.Paging, list)
}

// one answers with the first object of a list that fits.
func (s *Server) one(w http.ResponseWriter, name string, fits func(Object) bool) error {
	var list []Object
	if err := s.state.read(name, &list); err != nil {
		return err
	}
	for _, o := range list {
		if fits(o) {
			s.good(w, o, nil)
			return nil
		}
	}
	return &failure{status: 404, code: 10003, text: "could not find it"}
}

// chosen filters and trims a list as its endpoint does.
func (s *Server) chosen(q *request, list []json.RawMessage) ([]json.RawMessage, error) {
	if _, ok := q.deed("empty"); ok {
		return []json.RawMessage{}, nil
	}
	name, account, deleted := q.URL.Query().Get("name"), q.URL.Query().Get("account.id"), q.URL.Query().Get("is_deleted")
	rulesets := strings.HasSuffix(q.template, "/rulesets")
	if name == "" && account == "" && deleted == "" && !rulesets {
		return list, nil
	}
	out := []json.RawMessage{}
	for _, raw := range list {
		var o Object
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, err
		}
		owner, _ := o["account"].(Object)
		switch {
		case name != "" && o["name"] != name, account != "" && owner["id"] != account:
			continue
		case deleted == "false" && o["deleted_at"] != nil:
			continue
		}
		if rulesets { // the list leaves the rules out
			delete(o, "rules")
			var err error
			if raw, err = json.Marshal(o); err != nil {
				return nil, err
			}
		}
		out = append(out, raw)
	}
	return out, nil
}

// list answers with one page.
func (s *Server) list(w http.ResponseWriter, q *request, paging string, list []json.RawMessage) error {
	total := len(list)
	s.mu.Lock()
	s.asked++
	if _, ok := q.deed("moving"); ok {
		total += s.asked
	}
	s.mu.Unlock()
	if _, ok := q.deed("short"); ok && len(list) > 0 {
		list = list[:len(list)-1]
	}
	_, endless := q.deed("endless")
	switch paging {
	case "SinglePage", "Array":
		s.good(w, list, nil)
		return nil
	case "V4PagePaginationArray":
		return s.paged(w, q, list, total, endless)
	}
	return s.cursor(w, q, paging, list, endless)
}

func number(q *request, name string, def, most int) (int, error) {
	v := q.URL.Query().Get(name)
	if v == "" {
		return def, nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || f < 1 || f > float64(most) {
		return 0, &failure{status: 400, code: 9000, text: fmt.Sprintf("Invalid request: %s must be from 1 to %d", name, most)}
	}
	return int(f), nil
}

func (s *Server) size(q *request) (int, error) {
	size, ok := perPage[q.template]
	if !ok {
		size = [2]int{20, 1000}
	}
	return number(q, "per_page", size[0], size[1])
}

func (s *Server) paged(w http.ResponseWriter, q *request, list []json.RawMessage, total int, endless bool) error {
	size, err := s.size(q)
	if err != nil {
		return err
	}
	n, err := number(q, "page", 1, 1<<30)
	if err != nil {
		return err
	}
	from := min((n-1)*size, len(list))
	pages := (total + size - 1) / size
	if endless {
		from, total, pages = 0, 1<<30, (1<<30)/size
	}
	part := list[from:min(from+size, len(list))]
	s.good(w, part, Object{"page": n, "per_page": size, "count": len(part), "total_count": total, "total_pages": pages})
	return nil
}

func (s *Server) cursor(w http.ResponseWriter, q *request, paging string, list []json.RawMessage, endless bool) error {
	size, err := s.size(q)
	if err != nil {
		return err
	}
	from := 0
	if c := q.URL.Query().Get("cursor"); c != "" {
		raw, err := base64.RawURLEncoding.DecodeString(c)
		if err != nil {
			return &failure{status: 400, code: 9000, text: "invalid cursor"}
		}
		if from, err = strconv.Atoi(string(raw)); err != nil || from < 0 {
			return &failure{status: 400, code: 9000, text: "invalid cursor"}
		}
	}
	from = min(from, len(list))
	to := min(from+size, len(list))
	next := ""
	if to < len(list) || endless {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to % max(1, len(list)))))
	}
	info := Object{"count": to - from, "per_page": size}
	if paging == "CursorPaginationAfter" {
		info = Object{"cursors": Object{}}
		if next != "" {
			info = Object{"cursors": Object{"after": next}}
		}
	} else if next != "" {
		info["cursor"] = next
	}
	s.good(w, list[from:to], info)
	return nil
}
