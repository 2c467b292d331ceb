-- Five databases and five roles on one server, for compose. Each role sees its own database only.
-- The passwords are for a machine of your own: change them before anybody else can reach it.
CREATE ROLE waybill_intake LOGIN PASSWORD 'waybill_intake';
CREATE ROLE waybill_routing LOGIN PASSWORD 'waybill_routing';
CREATE ROLE waybill_sla LOGIN PASSWORD 'waybill_sla';
CREATE ROLE waybill_notify LOGIN PASSWORD 'waybill_notify';
CREATE ROLE waybill_kb LOGIN PASSWORD 'waybill_kb';

CREATE DATABASE waybill_intake OWNER waybill_intake;
CREATE DATABASE waybill_routing OWNER waybill_routing;
CREATE DATABASE waybill_sla OWNER waybill_sla;
CREATE DATABASE waybill_notify OWNER waybill_notify;
CREATE DATABASE waybill_kb OWNER waybill_kb;

REVOKE CONNECT, TEMPORARY ON DATABASE
  waybill_intake, waybill_routing, waybill_sla, waybill_notify, waybill_kb FROM PUBLIC;

-- Only a superuser can add an extension.
\connect waybill_kb
CREATE EXTENSION vector;
