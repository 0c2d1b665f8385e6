package cloudflare

// rule is one rule of a ruleset.
func rule(id, action, expression, description string, parameters Object) Object {
	o := Object{"id": id, "ref": id, "version": "1", "action": action, "expression": expression, "description": description, "enabled": true,
		"last_updated": then}
	if parameters != nil {
		o["action_parameters"] = parameters
	}
	return o
}

func ruleset(id, kind, phase, name string, rules ...Object) Object {
	return Object{"id": id, "kind": kind, "phase": phase, "name": name, "description": "", "version": "3", "last_updated": then,
		"rules": rules}
}

// Managed is a ruleset of the vendor, which cannot be restored and need not be.
const managed = "efb7b8c949ac4650a09736fc376e9aee"

func zoneRulesets() []Object {
	return []Object{
		ruleset("1f2e3d4c5b6a79880716253443526170", "zone", "http_request_firewall_custom", "default",
			rule("a0000000000000000000000000000001", "block", "(ip.src in $blocked) or (http.request.uri.path contains \"/wp-login.php\")",
				"blocked addresses and scanners", nil),
			rule("a0000000000000000000000000000002", "managed_challenge", "(ip.geoip.country ne \"DE\" and http.request.uri.path eq \"/admin\")",
				"admin from abroad", nil)),
		ruleset("2f2e3d4c5b6a79880716253443526170", "zone", "http_request_dynamic_redirect", "default",
			rule("a0000000000000000000000000000003", "redirect", "(http.host eq \"www.example.org\")", "www to apex",
				Object{"from_value": Object{"status_code": 301, "preserve_query_string": true,
					"target_url": Object{"expression": "concat(\"https://example.org\", http.request.uri.path)"}}})),
		ruleset(managed, "managed", "http_request_firewall_managed", "Cloudflare Managed Ruleset"),
	}
}

func accountRulesets() []Object {
	return []Object{
		ruleset("3f2e3d4c5b6a79880716253443526170", "custom", "http_request_firewall_custom", "company rules",
			rule("a0000000000000000000000000000004", "block", "(cf.threat_score gt 50)", "bad reputation", nil)),
		ruleset("4f2e3d4c5b6a79880716253443526170", "root", "http_request_firewall_custom", "root",
			rule("a0000000000000000000000000000005", "execute", "(cf.zone.plan eq \"ENT\")", "company rules everywhere",
				Object{"id": "3f2e3d4c5b6a79880716253443526170"})),
		ruleset(managed, "managed", "http_request_firewall_managed", "Cloudflare Managed Ruleset"),
	}
}

func accessRules(scope, owner, mode, address, notes string) []Object {
	return []Object{{"id": "92f17202ed8bd63d69a66b86a49a8f6b", "mode": mode, "notes": notes,
		"allowed_modes": []string{"whitelist", "block", "challenge", "js_challenge", "managed_challenge"},
		"configuration": Object{"target": "ip", "value": address}, "created_on": then, "modified_on": then,
		"scope": Object{"id": owner, "type": scope}}}
}

func pageRules() []Object {
	return []Object{{"id": "023e105f4ecef8ad9ca31a8372d0c353", "priority": 1, "status": "active", "created_on": then, "modified_on": then,
		"targets": []Object{{"target": "url", "constraint": Object{"operator": "matches", "value": "*example.org/static/*"}}},
		"actions": []Object{{"id": "cache_level", "value": "cache_everything"}, {"id": "edge_cache_ttl", "value": 7200}}}}
}

func lists() []Object {
	return []Object{{"id": ListID, "name": "blocked", "kind": "ip", "description": "addresses that attacked us", "num_items": 3,
		"num_referencing_filters": 1,
		"created_on":              then, "modified_on": then}}
}

func items() []Object {
	var out []Object
	for i, ip := range []string{"203.0.113.5", "203.0.113.128/25", "2001:db8:bad::/48"} {
		out = append(out, Object{"id": "34b12448945f11eaa1b71c4d701ab86" + string(rune('a'+i)), "ip": ip, "comment": "seen in the logs",
			"created_on": then, "modified_on": then})
	}
	return out
}

func tunnels() []Object {
	return []Object{
		{"id": TunnelID, "account_tag": AccountID, "name": "office", "status": "healthy", "tun_type": "cfd_tunnel", "remote_config": true,
			"config_src": "cloudflare", "metadata": Object{},
			"created_at": then, "deleted_at": nil, "conns_active_at": then, "conns_inactive_at": nil,
			"connections": []Object{{"id": "1bedc50d-42b3-473c-b108-ff3d10c0d925", "uuid": "1bedc50d-42b3-473c-b108-ff3d10c0d925",
				"client_id":      "1bedc50d-42b3-473c-b108-ff3d10c0d925",
				"client_version": "2026.3.0", "colo_name": "FRA", "opened_at": then, "origin_ip": "198.51.100.7"}}},
		{"id": "00000000-0000-4000-8000-000000000001", "account_tag": AccountID, "name": "old", "status": "down", "tun_type": "cfd_tunnel",
			"remote_config": true, "config_src": "cloudflare",
			"metadata": Object{}, "created_at": then, "deleted_at": then, "conns_active_at": nil, "conns_inactive_at": then,
			"connections": []Object{}},
	}
}

func configuration() Object {
	return Object{"account_id": AccountID, "tunnel_id": TunnelID, "version": 4, "source": "cloudflare", "created_at": then,
		"config": Object{"ingress": []Object{
			{"hostname": "app.example.org", "service": "http://10.0.0.5:8080", "originRequest": Object{"connectTimeout": 10}},
			{"hostname": "", "service": "http_status:404"}}, "originRequest": Object{}}}
}

const network = "10000000-0000-4000-8000-00000000000a"

func routes() []Object {
	return []Object{{"id": "20000000-0000-4000-8000-00000000000b", "network": "10.0.0.0/16", "comment": "office", "tunnel_id": TunnelID,
		"tunnel_name": "office", "tun_type": "cfd_tunnel",
		"virtual_network_id": network, "virtual_network_name": "default", "created_at": then, "deleted_at": nil}}
}

func virtualNetworks() []Object {
	return []Object{{"id": network, "name": "default", "comment": "", "is_default_network": true, "created_at": then, "deleted_at": nil}}
}
