# The photo site as one container: its six processes under one that starts them again.
FROM node:22-bookworm-slim
WORKDIR /busbar
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run build && mkdir -p /var/lib/site /var/lib/spool && chown node:node /var/lib/site /var/lib/spool
USER node
EXPOSE 3000 3001
CMD ["node", "build/modules/start.js"]
