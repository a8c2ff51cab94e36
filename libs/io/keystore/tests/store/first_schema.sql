-- Rows as a program of the first schema wrote them, sealed under the key of the tests.
INSERT INTO subscribers (nai, sealed_key0, spi, cipher, home_address, home_prefix_length, home_agent, home_gateway, no_fs, state, max_lifetime, change)
    VALUES ('traveller-50@home.example', x'739fc3fcfcbe634e7d6643c3cf3f2bd2e6d7e7ba8a60d7d352ce411bc210b6ec7bf982c0d1d797f0ee56fd64125add685f0dbfc616082514b7c0232a', 4294967245, 'chacha20-poly1305', '10.11.1.50', 24, '10.11.1.2', '10.11.1.1', 1, 'active', NULL, -51);
INSERT INTO subscribers (nai, sealed_key0, spi, cipher, home_address, home_prefix_length, home_agent, home_gateway, no_fs, state, max_lifetime, change)
    VALUES ('traveller-51@home.example', x'3233e4ca41fb2a9654dde35ac3aecf1bed9e3b678569a7eaf99c9a41f442570ff27ea3c4adc24d3b1f14291cd6c27e6e235f8bf51bd8ae0ac6970632', 4294967244, 'chacha20-poly1305', '10.11.1.51', 24, '10.11.1.2', NULL, 0, 'revoked', 65535, -52);
INSERT INTO bindings (home_address, nai, care_of, tunnel, tunnel_address, tunnel_port, reverse_tunnel, foreign_agent, lifetime, granted)
    VALUES ('10.11.1.50', 'traveller-50@home.example', '10.51.1.2', 'ipip', '10.51.1.2', NULL, 0, 'fa-a@visited-a.example', 600, 1790000050);
INSERT INTO bindings (home_address, nai, care_of, tunnel, tunnel_address, tunnel_port, reverse_tunnel, foreign_agent, lifetime, granted)
    VALUES ('10.11.1.9', 'traveller-9@home.example', '10.51.1.2', 'udp', '10.51.1.2', 61434, 1, NULL, 65535, 1790000009);
INSERT INTO binding_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.50', 0, 1, 4026531890, 650, x'f1259ab7f2365dfe395f42b0172da26c4d7fc959ef4d6fc983e1dc671ad2feded861956e02d4656b83d7c2051dc8febedd1b7018228395463a1bdbf7', 'ha@home.example', 'peer-50@home.example', 1790000000, -1);
INSERT INTO binding_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.50', 1, 2, 4026531890, 650, x'cae9e46987dcfb9580748ba4519c4e59cb2059511cd26b795ac214caac5c0f0aa8e3b2619697f68fb4d3453864a8919bd4aab90984fecd17bae1672d', 'ha@home.example', 'peer-50@home.example', 1790000000, -1);
INSERT INTO binding_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.9', 0, 1, 4026531849, 609, x'ab4265e311fcd0bee2c84560f4aae87d9c992786d10a34792150fbeec3f296f79bf22543211ffa2df5a1e049df8d27d08e5683758d73c2f9e6db343f', 'ha@home.example', 'peer-9@home.example', 1790000000, -1);
INSERT INTO visitors (home_address, link, link_address, home_agent, care_of, tunnel, tunnel_address, tunnel_port, reverse_tunnel, lifetime, granted)
    VALUES ('10.11.1.50', 4294967295, x'02000000ff32', '10.11.1.2', '10.51.1.2', 'ipip', '10.11.1.2', NULL, 1, 600, 1790000000);
INSERT INTO visitors (home_address, link, link_address, home_agent, care_of, tunnel, tunnel_address, tunnel_port, reverse_tunnel, lifetime, granted)
    VALUES ('10.11.1.9', 4294967295, x'02000000ff09', '10.11.1.2', '10.51.1.2', 'udp', '10.11.1.2', 61434, 0, 600, 1790000000);
INSERT INTO visitor_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.50', 0, 2, 4026531890, 650, x'9df7c28a102fdf3d071123d2754ede6684d8e3bea4ed0251985073bbdbc13e10070bee1b31994dfc2715bd5545c4ff9d686deea7f108fdfef790cc93', 'ha@home.example', 'peer-50@home.example', 1790000000, -1);
INSERT INTO visitor_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.50', 1, 3, 4026531890, 650, x'a8d5472b58428b66b6afe887a444514a25c24c3369791d29309792fd682a2b82ccebc5ef6ce39003816ceea7aeb7c1d9253d5f74b10e42b4dd937680', 'ha@home.example', 'peer-50@home.example', 1790000000, -1);
INSERT INTO visitor_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.9', 0, 2, 4026531849, 609, x'81d558d8ac605a09e51678541c4a4e7d38166872529749e9abe07db9125adc37d07b0367627128dc87034f7311d7e54aa91da4e36eed8c99e555fb29', 'ha@home.example', 'peer-9@home.example', 1790000000, -1);
INSERT INTO visitor_associations (home_address, position, kind, inbound_spi, outbound_spi, sealed_key, own, peer, made, ends)
    VALUES ('10.11.1.9', 1, 3, 4026531849, 609, x'941c803cd4ac58ae3aeb18c2ce813519ced906d72fdd9f7061a753577a34fb58ab70c5de3141492549a251ed14687ecd7d09c0cee812403626834793', 'ha@home.example', 'peer-9@home.example', 1790000000, -1);
INSERT INTO key_check (id, sealed_value)
    VALUES (1, x'4430c4ecc005335e078f52fd786a58b29062eb7673b5c021d569e23fb00cf585d40125f8480d35f03794e111ead43fbec9cad6f48c479722f87d14d8');
INSERT INTO subscriber_cursor (id, change) VALUES (1, 7);
INSERT INTO identifications (nai, identification) VALUES ('traveller-50@home.example', -1);
INSERT INTO sequences (link, below) VALUES (0, 256);
INSERT INTO audit (number, unix_ms, actor, role, action, subject, outcome)
    VALUES (1, 1790000000123, 'admin', 'administrator', 'EnrolSubscriber', 'traveller-50@home.example', 'done');
INSERT INTO home_agents (name, address, registered) VALUES ('ha@home.example', '10.11.1.2', 1);
INSERT INTO grants (id, request, nai, home_agent, care_of, issued, ends)
    VALUES (1, x'00000000000000000000000000000000', 'traveller-50@home.example', 'ha@home.example', '10.51.1.2', 5, -1);
INSERT INTO grant_keys (grant_id, position, kind, first_spi, second_spi, fingerprint)
    VALUES (1, 0, 1, 600, 601, '0123456789abcdef');
INSERT INTO grants (id, request, nai, home_agent, care_of, issued, ends, revoked)
    VALUES (2, x'00000000000000000000000000000000', 'traveller-51@home.example', 'ha@home.example', '10.51.1.2', 5, -1, NULL),
        (3, x'00000000000000000000000000000000', 'traveller-50@home.example', 'ha@home.example', '10.51.1.2', 5, -1, 6),
        (7, x'00000000000000000000000000000000', 'traveller-50@home.example', 'ha@home.example', '10.51.1.2', 5, -1, NULL);
